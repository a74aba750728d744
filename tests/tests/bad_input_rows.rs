//! What comes from strangers (a broker, a room, a store, a disk), what must come of it, and the tests that show it. The
//! numbers are those of the list of bad input that the design began with. The test of this file sees to it that each
//! named test exists; those that are left out are about people's names and chat (21, 36-38), and what is served (52-65).
//!
//! | row | what comes | what must happen | tests |
//! |---|---|---|---|
//! | 1 | an event that is no JSON, has a mark before it, is UTF-16 | parked with a word, not tried again | `what_is_not_json_is_refused_by_its_sort` `what_cannot_be_read_is_parked_with_its_reason_and_the_next_is_taken` |
//! | 2 | an event of 40 MiB, or 10,000 deep | refused at 64 KiB and at depth 16, before it is read | `what_is_not_json_is_refused_by_its_sort` `the_limits_themselves_are_within` |
//! | 3 | a type or version that is not known | parked with a word, never guessed at | `attributes_outside_the_contract_are_refused` |
//! | 4 | a key twice, NaN, 1e999, 2^63+1 | refused | `a_key_twice_is_refused_wherever_it_stands` `what_is_not_json_is_refused_by_its_sort` |
//! | 5 | a room called `../../etc/passwd`, `..%2f`, with a NUL | refused by the grammar of ids | `attributes_outside_the_contract_are_refused` |
//! | 6 | an event of another tenant | refused | `an_event_of_another_tenant_is_refused` |
//! | 7 | a replay from last month | stale, unless its session is known | `a_replay_from_last_month_is_stale_unless_its_session_is_known` |
//! | 8 | an end before its start | a start within the hour after it is dropped | `a_start_after_its_end_is_dropped_for_an_hour` |
//! | 9 | times of 1970, of 2106, or that go back | kept as they are; our own clock decides | `a_clock_in_1970_or_2106_is_believed_only_where_it_makes_an_event_old` |
//! | 10 | a duration below 0 or of 10 years | 12 h, or less by policy | `an_absurd_duration_comes_to_twelve_hours` `nobody_records_longer_than_is_configured_nor_than_twelve_hours` `what_is_wrong_is_named_by_rule_and_field` |
//! | 11 | a start for a room that is recorded by another policy | refused, or a recording of its own where its rule may be asked for | `a_run_is_recorded_twice_only_by_two_rules_that_may_be_asked_for` |
//! | 12 | an HMAC that is wrong or missing, or by the key before | parked with an alarm; the key before is believed | `with_a_key_only_what_one_of_us_signed_is_taken` `what_is_altered_on_its_way_is_parked_and_what_is_moved_back_is_taken` `what_is_altered_foreign_or_of_another_purpose_is_not_believed` |
//! | 13 | credentials or a recipient in an event | refused, and never repeated | `keys_and_credentials_are_refused_anywhere_and_never_repeated` |
//! | 14 | an address to call | passed over or refused; there are no callbacks | `an_address_is_passed_over_or_refused` `an_address_in_an_event_is_never_called` |
//! | 15 | a message that fails six times | parked at the limit of 5, with an alarm | `a_message_that_fails_six_times_is_parked` `a_parked_message_raises_an_alarm_whether_or_not_there_is_a_steward` |
//! | 16 | AMQP headers of wrong types, a reply-to bomb | passed over, nobody is answered | `headers_of_every_sort_are_passed_over_and_nobody_is_replied_to` |
//! | 17 | a join token that is old, forged or another room's | Janus has none: comes with a platform that mints them. A wrong PIN or API secret is refused, with what to do | `each_closed_door_says_which_it_is` |
//! | 18 | a token that grants too much | as above; a secret can be checked before it is used | `named_rooms_and_secrets_work_and_can_be_checked` |
//! | 19 | a room that is locked, or encrypted end to end | not entered, with a reason of its own; who encrypts elsewhere is left out | `each_closed_door_says_which_it_is` `a_room_that_takes_only_what_is_encrypted_is_not_entered` `those_who_encrypt_end_nothing_though_nobody_else_is_there_yet` `one_who_encrypts_is_left_out_and_ends_nothing` |
//! | 20 | the host removes the recorder | phase `Ended`, reason `removed`, what it has is kept, no coming back | `the_end_of_a_meeting_says_how_it_came` `a_recorder_that_is_kicked_keeps_what_it_has_and_does_not_come_back` `a_recorder_that_is_kicked_while_nobody_has_taken_over_ends_the_recording` |
//! | 22 | 5000 comings and goings a minute | told whole, noted up to a bound, two layouts a second | `a_restless_room_is_told_whole_and_costs_little` `a_crowd_moves_the_picture_at_most_twice_a_second_and_ends_in_the_right_place` `a_flood_of_events_does_not_grow_the_memory_without_end` `a_storm_is_noted_up_to_its_bound_and_those_noted_still_leave` |
//! | 23 | two participants of one identity | both kept | `two_of_one_name_are_two_and_our_sign_is_no_disguise_for_staying` `namesakes_stay_two_and_who_comes_back_gets_new_tracks` |
//! | 24 | an offer of 5 MB, of 10,000 media, of unknown codecs | refused from 256 KiB and from 65 media; a codec that is not ours is not received | `what_cannot_be_trusted_or_is_too_big_is_refused` `a_medium_without_our_codecs_is_left_alone` |
//! | 25 | RTP of another version, with padding or an extension beyond the packet | the packet is dropped and counted, and none else | `packets_that_are_against_the_rules_are_dropped_and_counted_and_the_rest_goes_on` `each_length_within_a_packet_is_held_against_its_own` |
//! | 26 | a jump of RTP time by 2^31, another SSRC, numbers that begin anew | placed by arrival: no hole, and sound and picture stay together | `a_jump_of_rtp_time_leaves_no_hole_of_hours` `a_jump_of_rtp_time_does_not_part_sound_from_picture` `a_new_ssrc_takes_over_the_track_from_a_key_frame_on` `numbers_that_begin_anew_lose_nothing` |
//! | 27 | a sender's report of another century | not believed beyond 3 s | `a_report_from_another_century_does_not_part_sound_from_picture` |
//! | 28 | a track of nothing, or of one packet | nothing is shown or heard of it; no frame of the film is missing | `tracks_of_nothing_and_of_one_packet_are_no_trouble` |
//! | 29 | pictures before any key frame | asked for at 1, 2, 4 … 16 s and dropped; the tile shows a card, which is no gap | `askings_grow_to_sixteen_seconds` `a_missing_key_frame_is_asked_for_once_per_patience` `a_late_route_gets_its_key_frame_by_rtcp` |
//! | 30 | pictures above 4096×2304 | dropped before they are decoded; no lower layer is asked for, since no simulcast is subscribed; sound goes on | `a_giant_picture_is_refused_before_it_is_decoded` `a_giant_vp8_picture_is_dropped_and_its_sender_is_heard` `a_vp8_key_frame_tells_its_size` |
//! | 31 | another size in each picture | above ten a second the last one stands | `a_picture_that_changes_its_size_all_the_time_stands_still_until_it_has_settled` |
//! | 32 | another codec in mid call | another track in the same place | `a_track_may_change_its_codec_in_mid_call` |
//! | 33 | broken H.264, MVC and SVC | its own tile; a track that kills its process three times is left out | `spoilt_h264_costs_its_own_tile_and_nothing_else` `a_broken_stream_ends_its_own_branch_and_nothing_else` `three_deaths_on_one_track_cost_that_track_alone` |
//! | 34 | Opus of 120 ms, pauses, one channel and two, too loud, no number | heard whole, silent, always two, cut off; whole numbers alone | `packets_of_120_ms_are_heard_whole` `opus_packets_tell_their_length` `a_pause_in_a_voice_is_silence_and_what_follows_is_in_time` `a_voice_may_turn_from_one_channel_to_two` `many_loud_voices_are_cut_off_and_do_not_turn_over` |
//! | 35 | nothing at all | the recording ends empty after `lobby_seconds` | `a_room_where_nobody_sends_ends_empty` |
//! | 39 | 200 with an error inside, on completion | a failure, tried again | `a_completion_that_fails_inside_its_200_is_a_failure` `a_completion_that_stores_something_else_is_a_failure` |
//! | 40 | no ETag, an odd one, not an MD5 | an opaque word; integrity is our own SHA-256 | `an_etag_is_an_opaque_word_that_goes_back_as_it_came` `what_reads_back_otherwise_has_no_receipt` |
//! | 41 | a redirect to another host | not followed, no keys sent there | `a_redirect_to_another_server_is_not_followed` |
//! | 42 | an entity bomb, a list of a gigabyte, a list without end | left after 8 MiB, or when pages bring nothing | `an_entity_bomb_does_not_go_off` `a_list_of_a_gigabyte_is_left_after_a_few_megabytes` `an_error_of_a_gigabyte_is_left_too` `a_list_without_end_is_left` `a_list_whose_pages_bring_nothing_is_left` `pages_that_bring_nothing_for_a_while_are_borne` |
//! | 43 | a shorter or longer body, another range, 206 for 200 | refused, no byte passed on | `half_an_object_is_never_passed_on` `a_body_without_end_is_left_once_it_is_too_long` `another_range_than_was_asked_for_is_never_passed_on` `a_part_does_not_pass_for_the_whole_nor_the_whole_for_a_part` |
//! | 44 | 403 after it went well | the key files are read again, the spool keeps all meanwhile | `keys_that_were_changed_at_the_store_cost_nothing_but_time` `changed_keys_count_at_once_and_half_changed_ones_do_not` |
//! | 45 | a clock that is off | signed by the store's own time; an alarm | `a_clock_that_is_an_hour_off_costs_one_refused_request` `a_clock_that_is_wrong_either_way_is_told_once` |
//! | 46 | an object older than what was written | a conflict, read again; never overwritten | `a_stale_read_overwrites_nothing` `a_swap_needs_the_newest_etag` |
//! | 47 | a record that is edited, huge, or of an earlier epoch | refused, left as it is | `an_edited_or_huge_record_is_refused_and_left_as_it_is` `an_epoch_never_goes_back_and_a_record_never_moves` |
//! | 48 | a spooled file that is torn, empty, another user's, a link | set aside in `torn/`, never uploaded | `torn_empty_foreign_and_linked_files_are_set_aside_and_never_uploaded` `what_was_put_in_a_files_place_is_set_aside_and_not_uploaded` `a_folder_that_leads_elsewhere_or_is_anothers_is_no_spool` `a_file_that_the_disk_changed_gets_no_receipt` |
//! | 49 | age: armored, scrypt, ten thousand stanzas, trailing bytes | refused by the header; one X25519 recipient | `an_age_file_of_another_shape_is_refused_at_once` `ten_thousand_stanzas_are_refused_by_length` `a_passphrase_is_refused_whatever_work_it_asks_for` `no_flipped_bit_and_no_shorter_file_ever_opens` |
//! | 50 | another recording's file under our name | named as altered, and does not open | `what_was_copied_from_another_recording_is_found_and_does_not_open` `two_swapped_objects_are_both_named` |
//! | 51 | a manifest that reaches outside, has a field twice, a size of -1, another namespace or signer | refused as tampered with | `a_manifest_that_reaches_outside_or_contradicts_itself_is_refused` `a_signature_that_was_made_for_something_else_does_not_count` `another_signer_does_not_count` |
//!
//! What a disk or a store fails at, one thing after the other: `sweep` in storage's `src/spool` and `tests`.

#![allow(clippy::unwrap_used, reason = "a test says what it missed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names of all tests in the source files below `folder`.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(path).unwrap();
            let mut marked = false;
            for line in source.lines().map(str::trim) {
                if let Some(name) = line.trim_start_matches("async ").strip_prefix("fn ") {
                    // Storage has tests that a macro marks, once for each store.
                    if marked || line.contains("(store: storage::Store)") {
                        found.extend(name.split('(').next().map(str::to_owned));
                    }
                    marked = false;
                }
                marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            }
        }
    }
}

#[test]
fn every_row_names_tests_that_there_are() {
    let mut found = BTreeSet::new();
    for layer in ["pipelines", "services"] {
        tests(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(layer), &mut found);
    }
    let table = include_str!("bad_input_rows.rs").lines().filter_map(|line| line.strip_prefix("//! | "));
    let mut rows = Vec::new();
    for row in table.skip(1) {
        let cells: Vec<_> = row.trim_end_matches(" |").split(" | ").collect();
        let [number, _, _, named] = cells[..] else { panic!("{row} has not four cells") };
        rows.push(number.parse::<u32>().unwrap());
        let named: Vec<_> = named.split('`').filter(|name| !name.trim().is_empty()).collect();
        assert!(!named.is_empty(), "row {number} names no test");
        for name in named {
            assert!(found.contains(name), "row {number} names {name}, which is no test");
        }
    }
    let wanted = [1..=20, 22..=35, 39..=51].into_iter().flatten();
    assert_eq!(rows, wanted.collect::<Vec<u32>>());
}
