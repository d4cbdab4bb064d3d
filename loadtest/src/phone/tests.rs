//! Stories of one phone in virtual time.
