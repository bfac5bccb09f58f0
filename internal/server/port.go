package server

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
}{n: os.Getpid() * 151 % 15000} // test binaries run at the same time, with process ids close together

// FreePort returns a free port below the range of outgoing connections. Another
// process can take a port from :0 before the server opens it, and a cluster then
// waits for ever.
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
	return 0, errors.New("server: no free port from 15000 to 30000")
}
