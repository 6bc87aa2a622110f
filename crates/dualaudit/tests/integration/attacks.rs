//! Attacks over HTTP: what is sent to fool, to fill or to break the server, and what comes of each.
//!
//! Each is a row of a table: a name, what is sent, and what must come back. After every row the server answers a plain request,
//! has not grown, and has recorded nothing that the row hid.

mod cursors;
mod fields;
mod json;
mod messages;
mod streams;
mod target;
mod waiting;
