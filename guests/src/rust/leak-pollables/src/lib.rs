//! Makes `n` pollables and never drops one (0: without end).

wit_bindgen::generate!({ path: "../../../wit", world: "behave-wasi", generate_all });

use wasi::clocks::monotonic_clock::subscribe_duration;

fn act(n: u32) -> Result<u32, String> {
    let mut made = 0;
    while n == 0 || made < n {
        std::mem::forget(subscribe_duration(u64::MAX));
        made += 1;
    }
    Ok(made)
}

doors::doors!(act);
