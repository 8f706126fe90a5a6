//! What the operating system says of the process's memory.

/// Bytes in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Memory {
    /// All of them.
    pub(crate) resident: u64,
    /// Pages of the program and of other files.
    pub(crate) program: u64,
}

impl Memory {
    /// Now; none where the system does not tell (it is Linux that does).
    pub(crate) fn now() -> Option<Memory> {
        Memory::read(&std::fs::read_to_string("/proc/self/status").ok()?)
    }

    /// Parts that nobody counts, beside those of `counted` bytes: the program, and the rest, so that all of it is what is
    /// resident. The rest is below zero where what is counted was swapped out.
    pub(crate) fn others(self, counted: f64) -> [(&'static str, f64); 2] {
        let program = self.program as f64;
        [("program", program), ("rest", self.resident as f64 - program - counted)]
    }

    /// Of proc_pid_status(5).
    fn read(text: &str) -> Option<Memory> {
        let kib = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        };
        let [anonymous, file, shared] = [kib("RssAnon")?, kib("RssFile")?, kib("RssShmem")?];
        Some(Memory { resident: (anonymous + file + shared) * 1_024, program: file * 1_024 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kibibytes_are_read_by_name() {
        let text = "VmRSS:\t  1316 kB\nRssAnon:\t     100 kB\nRssFile:\t    1216 kB\nRssShmem:\t       4 kB\n";
        assert_eq!(Memory::read(text), Some(Memory { resident: 1_320 * 1_024, program: 1_216 * 1_024 }));
        assert_eq!(Memory::read("RssAnon:\t100 kB\n"), None);
    }
}
