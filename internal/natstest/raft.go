package natstest

import (
	"time"
	_ "unsafe" // for go:linkname

	_ "github.com/nats-io/nats-server/v2/server"
)

// After its leader crashes, a cluster waits 4 to 9s until it elects another. The
// server's own tests shorten these timeouts, and so do these tests.

//go:linkname hbInterval github.com/nats-io/nats-server/v2/server.hbInterval
var hbInterval time.Duration

//go:linkname minElectionTimeout github.com/nats-io/nats-server/v2/server.minElectionTimeout
var minElectionTimeout time.Duration

//go:linkname maxElectionTimeout github.com/nats-io/nats-server/v2/server.maxElectionTimeout
var maxElectionTimeout time.Duration

func init() {
	if hbInterval == 0 || minElectionTimeout == 0 || maxElectionTimeout == 0 {
		panic("natstest: nats-server has renamed its election timeouts")
	}
	hbInterval, minElectionTimeout, maxElectionTimeout = 100*time.Millisecond, time.Second, 2*time.Second
}
