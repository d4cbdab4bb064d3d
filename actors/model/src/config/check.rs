//! Rules between rows.
