//! What a guest can reach, granted one capability at a time
