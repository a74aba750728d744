//! What may come from a store, a disk or a stranger, and where it is tested. The numbers are those of the list of bad
//! input that the design began with; a test of this file sees to it that each named test exists.
//!
//! | row | what comes | what must happen | tests |
//! |---|---|---|---|
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
//! What a disk or a store fails at, one thing after the other: `sweep` in `src/spool` and in this folder.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

#[test]
fn every_row_names_tests_that_there_are() {
    let mut sources = String::new();
    let mut folders = vec![Path::new("src").to_owned(), Path::new("tests").to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                sources += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let table = include_str!("rows.rs").lines().filter_map(|line| line.strip_prefix("//! | "));
    let mut rows = Vec::new();
    for row in table.skip(1) {
        let cells: Vec<_> = row.split(" | ").collect();
        rows.push(cells[0].parse::<u32>().unwrap());
        let named: Vec<_> = cells[3].split('`').filter(|name| name.contains('_')).collect();
        assert!(!named.is_empty(), "row {} names no test", cells[0]);
        for name in named {
            assert!(sources.contains(&format!("fn {name}(")), "row {} names {name}, which does not exist", cells[0]);
        }
    }
    assert_eq!(rows, (39..=51).collect::<Vec<_>>());
}
