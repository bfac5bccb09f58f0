package natstest

import (
	"flag"
	"os"
	"syscall"
)

// enoughMemory is what has to be free for the stores of a package's tests.
const enoughMemory = 1 << 30

// A test ends its server, never the machine: that a disk has written proves nothing
// there, and half of the tests' time went into waiting for it. So their directories
// lie in memory, unless $TMPDIR names a place or what is measured is the work itself.
func inMemory() {
	flag.Parse()
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || flag.Lookup("test.bench").Value.String() != "" ||
		syscall.Statfs("/dev/shm", &fs) != nil || fs.Bavail*uint64(fs.Bsize) < enoughMemory {
		return
	}
	_ = os.Setenv("TMPDIR", "/dev/shm")
}

func init() { before = append(before, inMemory) }
