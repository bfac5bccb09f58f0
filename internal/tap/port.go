package tap

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
)

var lastPort = struct {
	sync.Mutex
	n int
}{n: os.Getpid() * 151 % 15000} // tests of packages run side by side, in processes with numbers close together

// FreePort returns a port below those that outgoing connections are given: a port
// got from :0 can be gone by the time a server opens it, and a cluster then waits
// for ever.
func FreePort() (int, error) {
	lastPort.Lock()
	defer lastPort.Unlock()
	for range 1000 {
		lastPort.n = (lastPort.n + 1) % 15000
		port := 15000 + lastPort.n
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("tap: no free port from 15000 to 30000")
}
