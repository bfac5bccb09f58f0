package natstest

import (
	"flag"
	"os"
	"syscall"
)

// enoughMemory is what has to be free for the stores of a package's tests.
const enoughMemory = 1 << 30

// inMemory has the tests' directories lie in memory, unless $TMPDIR names a place or
// what is measured is the work itself: a test ends its server, never the machine. That
// a disk has written proves nothing there, and half of their time went into waiting.
func inMemory() {
	flag.Parse()
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || flag.Lookup("test.bench").Value.String() != "" ||
		syscall.Statfs("/dev/shm", &fs) != nil || fs.Bavail*uint64(fs.Bsize) < enoughMemory {
		return
	}
	_ = os.Setenv("TMPDIR", "/dev/shm")
}
