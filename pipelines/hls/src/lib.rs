//! Playlists as values: push a part or segment, answer a request. Pure.
