//! How the process gets its memory: pages of the usual size, unless somebody asks for huge ones (decision 16).

/// Whoever sets this to anything but `0` gets the allocator's huge pages: mimalloc reads it, too.
pub const HUGE_PAGES: &str = "MIMALLOC_ALLOW_THP";

/// From here on the process, and those that it starts, get no transparent huge pages. Returns whether that is so now.
///
/// A huge page is cleared whole, 2 MiB, when its first byte is touched: by the thread that just needs it, and a host that lends memory to
/// its guests page by page is asked for all of it then. Call it before there are other threads.
pub fn usual_pages() -> bool {
    let wanted = std::env::var_os(HUGE_PAGES).is_some_and(|value| value != "0");
    !wanted && usual_pages_only()
}

#[cfg(target_os = "linux")]
fn usual_pages_only() -> bool {
    // A kernel without huge pages refuses: there are none, then.
    rustix::thread::disable_transparent_huge_pages(true).is_ok()
}

#[cfg(not(target_os = "linux"))]
const fn usual_pages_only() -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn the_kernel_gives_no_huge_pages_any_more() {
        assert!(super::usual_pages());
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(status.lines().any(|line| line.split_whitespace().eq(["THP_enabled:", "0"])), "{status}");
    }
}
