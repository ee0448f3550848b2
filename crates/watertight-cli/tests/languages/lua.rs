//! Lua.

use crate::battery;

battery!("lua");
