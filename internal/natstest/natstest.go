// Package natstest runs nats-servers for tests: one on a fake clock in [Bubble],
// where a 30s AckWait or a 5m TTL takes no real time and always expires at the same
// instant; one on the real clock with [Start]; and several servers that connect to
// each other over TCP with [NewCluster], [NewHub] and [NewSupercluster].
package natstest

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	_ "unsafe" // for go:linkname

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/natspatterns/catalog/internal/link"
	"github.com/natspatterns/catalog/internal/server"
)

// The server has one process-wide clock goroutine for JetStream. A bubble that started
// it would never be idle, so it starts here, outside of every bubble.
func init() { ats.Register() }

// Server is an embedded server with JetStream on. Its Stop and Start restart it
// on the same store.
type Server struct {
	*server.Server
	tb testing.TB

	mu    sync.Mutex // guards what follows
	links map[string]*link.Link
}

// Start starts a server without a listener, reached in process, and stops it when
// the test ends.
func Start(tb testing.TB) *Server {
	tb.Helper()
	return start(tb, natsserver.Options{DontListen: true})
}

// Listen is Start with a listener on a free port of 127.0.0.1.
func Listen(tb testing.TB) *Server {
	tb.Helper()
	return start(tb, natsserver.Options{Port: natsserver.RANDOM_PORT})
}

func start(tb testing.TB, opts natsserver.Options) *Server {
	tb.Helper()
	opts.JetStream, opts.StoreDir = true, tb.TempDir()
	srv, err := server.New(opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(srv.Stop)
	return &Server{Server: srv, tb: tb, links: map[string]*link.Link{}}
}

// Bubble runs f with a server inside a synctest bubble: time advances only when every
// goroutine in it waits. It excludes t.Parallel, and t.Run inside.
func Bubble(t *testing.T, f func(t *testing.T, s *Server)) {
	t.Helper()
	awaitTimers()
	emptyPool()
	defer emptyPool()
	stuck := time.AfterFunc(time.Minute, func() {
		debug.SetTraceback("all")
		panic("natstest: a bubble took a minute of real time; its clock stops while a goroutine in it waits for a lock or a socket")
	})
	defer stuck.Stop()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Second) }) // last of all: the file store's flushers outlive Shutdown
		f(t, start(t, natsserver.Options{DontListen: true}))
	})
}

// nats.go pools timers, and a timer may cross neither into a bubble nor out of it.
// Two collections would empty the pool too, and take a fifth of some tests' CPU.
func emptyPool() { timers.p = sync.Pool{} }

// awaitTimers waits until no goroutine outside of bubbles holds a timer that it would
// return to the pool: connections of the previous test may be closing.
func awaitTimers() {
	for range 1000 {
		now := stacks[:runtime.Stack(stacks, true)]
		if !slices.ContainsFunc([]string{".FlushTimeout(", ".newRequest(", ").NextMsg("}, func(holder string) bool {
			return bytes.Contains(now, []byte(holder))
		}) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

var stacks = make([]byte, 1<<20) // for awaitTimers, before every bubble

//go:linkname timers github.com/nats-io/nats%2ego.globalTimerPool
var timers struct{ p sync.Pool }

// Link returns the link of the client name, to cut or delay it.
func (s *Server) Link(name string) *link.Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.links[name] == nil {
		s.links[name] = link.New(name, s, nil)
	}
	return s.links[name]
}

// Connect returns a connection for the client name, closed when the test ends. It
// reconnects for ever, 100ms after each attempt. Asynchronous errors are discarded
// unless opts contain a nats.ErrorHandler.
func (s *Server) Connect(name string, opts ...nats.Option) *nats.Conn {
	s.tb.Helper()
	return connect(s.tb, "", append([]nats.Option{nats.Name(name), nats.InProcessServer(s.Link(name))}, opts...)...)
}

// ConnectLag is Connect over a link that delays what the client sends by lag.
func (s *Server) ConnectLag(name string, lag time.Duration, opts ...nats.Option) *nats.Conn {
	s.tb.Helper()
	s.Link(name).Delay(lag)
	return s.Connect(name, opts...)
}

// JetStream is Connect, with the JetStream API on top.
func (s *Server) JetStream(name string, opts ...nats.Option) jetstream.JetStream {
	s.tb.Helper()
	return JetStream(s.tb, s.Connect(name, opts...))
}

// JetStream returns the JetStream API of nc.
func JetStream(tb testing.TB, nc *nats.Conn) jetstream.JetStream {
	tb.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		tb.Fatal(err)
	}
	return js
}

func connect(tb testing.TB, url string, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(url, append([]nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}, opts...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

// Eventually calls f every 10ms until it returns nil, and fails the test with its
// last error after d. It is for the real clock: in a bubble, sleep until the exact
// instant.
func Eventually(tb testing.TB, d time.Duration, f func(ctx context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for {
		attempt, done := context.WithTimeout(ctx, 2*time.Second)
		err := f(attempt)
		done()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			tb.Fatalf("not successful after %v: %v", d, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

var shared struct {
	once sync.Once
	dir  string
	srv  *server.Server
	err  error
}

// URL is the address of one server, with JetStream, shared by the examples of a
// test binary. [Main] stops it.
func URL() string {
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "natstest-"); shared.err == nil {
			shared.srv, shared.err = server.New(natsserver.Options{Port: natsserver.RANDOM_PORT, JetStream: true, StoreDir: shared.dir})
		}
	})
	if shared.err != nil {
		panic(shared.err)
	}
	return shared.srv.ClientURL()
}

// Main is the TestMain of a package that uses natstest: it exits with what [Run]
// returns.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run runs the tests, stops the server of the examples, and fails if a goroutine
// leaks.
func Run(m interface{ Run() int }) int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // hundreds of servers live for a short time: memory is cheaper than collecting them
	}
	_ = flag.Set("test.parallel", "8") // parallel tests use the real clock: they mostly wait
	inMemory()
	code := m.Run()
	if shared.srv != nil {
		shared.srv.Stop()
	}
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir) // a leftover in $TMPDIR is no reason to fail
	}
	shared.once, shared.srv = sync.Once{}, nil
	if code == 0 {
		if err := goleak.Find(
			goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
			// A sourcing stream waits up to 30s for the reply to its request for a consumer,
			// even after its server has shut down.
			goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"),
		); err != nil {
			fmt.Fprintln(os.Stderr, "natstest: after the tests,", err)
			return 1
		}
	}
	return code
}

// FreePort is [server.FreePort] for a test.
func FreePort(tb testing.TB) int {
	tb.Helper()
	port, err := server.FreePort()
	if err != nil {
		tb.Fatal(err)
	}
	return port
}
