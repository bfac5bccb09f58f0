package natstest

import (
	"flag"
	"os"
	"syscall"
)

// enoughMemory is the free memory that the stores of a package's tests need.
const enoughMemory = 1 << 30

// inMemory puts the directories of tests in memory, unless $TMPDIR is set or the run is
// a benchmark. Tests stop servers, never the machine, so writes to a disk prove nothing
// here, and took half of the tests' time.
func inMemory() {
	flag.Parse()
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || flag.Lookup("test.bench").Value.String() != "" ||
		syscall.Statfs("/dev/shm", &fs) != nil || fs.Bavail*uint64(fs.Bsize) < enoughMemory {
		return
	}
	_ = os.Setenv("TMPDIR", "/dev/shm")
}
