// Package natstest runs nats-servers for tests: one on a fake clock in [Bubble],
// where a 30s AckWait or a 5m TTL passes in no time and always at the same
// instant; one on the real clock with [Start]; and, where servers talk to each
// other over TCP, [NewCluster], [NewHub] and [NewSupercluster].
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

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/natspatterns/catalog/internal/tap"
)

// The server keeps one process-wide clock goroutine for JetStream. If a bubble
// started it, the bubble could never be idle, so it starts here, outside of all.
func init() { ats.Register() }

// Server is an embedded server with JetStream on. Its Stop and Start restart it
// on the same store.
type Server struct {
	*tap.Server
	tb testing.TB

	mu    sync.Mutex // guards what follows
	lines map[string]*tap.Line
}

// Start starts a server without a listener, reached in process, and stops it when
// the test ends.
func Start(tb testing.TB) *Server {
	tb.Helper()
	return start(tb, server.Options{DontListen: true})
}

// Listen is Start with a listener on a free port of 127.0.0.1.
func Listen(tb testing.TB) *Server {
	tb.Helper()
	return start(tb, server.Options{Port: server.RANDOM_PORT})
}

func start(tb testing.TB, opts server.Options) *Server {
	tb.Helper()
	opts.JetStream, opts.StoreDir = true, tb.TempDir()
	srv, err := tap.NewServer(opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(srv.Stop)
	return &Server{Server: srv, tb: tb, lines: map[string]*tap.Line{}}
}

// Bubble runs f with a server inside a synctest bubble: time moves on only when
// every goroutine in it waits. It excludes t.Parallel, and t.Run inside.
func Bubble(t *testing.T, f func(t *testing.T, s *Server)) {
	t.Helper()
	await()
	emptyPool()
	defer emptyPool()
	stuck := time.AfterFunc(time.Minute, func() {
		debug.SetTraceback("all")
		panic("natstest: a bubble took a minute of real time; its clock stands still while anyone in it waits for a lock or a socket")
	})
	defer stuck.Stop()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Second) }) // last of all: the file store's flushers outlive Shutdown
		f(t, start(t, server.Options{DontListen: true}))
	})
}

// nats.go pools timers, and a timer may cross neither into a bubble nor out of it.
// Two collections would empty the pool too, and take a fifth of some tests' CPU.
func emptyPool() { timers.p = sync.Pool{} }

// await waits until nobody outside of bubbles holds a timer of the pool that he could
// still put back: connections of the last test may be on their way out.
func await() {
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

var stacks = make([]byte, 1<<20) // for await, before every bubble

//go:linkname timers github.com/nats-io/nats%2ego.globalTimerPool
var timers struct{ p sync.Pool }

// Line returns the wire of the participant name, to cut or delay it.
func (s *Server) Line(name string) *tap.Line {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lines[name] == nil {
		s.lines[name] = tap.NewLine(name, s, nil)
	}
	return s.lines[name]
}

// Connect returns a connection for one participant, closed when the test ends. It
// reconnects for ever, 100ms after each try. Asynchronous errors are discarded
// unless opts hold a nats.ErrorHandler.
func (s *Server) Connect(name string, opts ...nats.Option) *nats.Conn {
	s.tb.Helper()
	return connect(s.tb, "", append([]nats.Option{nats.Name(name), nats.InProcessServer(s.Line(name))}, opts...)...)
}

// ConnectLag is Connect over a line on which whatever the participant sends takes
// lag to arrive.
func (s *Server) ConnectLag(name string, lag time.Duration, opts ...nats.Option) *nats.Conn {
	s.tb.Helper()
	s.Line(name).Delay(lag)
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
// last error when that takes longer than d. It is for the real clock: in a bubble,
// sleep until the instant meant.
func Eventually(tb testing.TB, d time.Duration, f func(ctx context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for {
		try, done := context.WithTimeout(ctx, 2*time.Second)
		err := f(try)
		done()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			tb.Fatalf("still not so after %v: %v", d, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

var shared struct {
	once sync.Once
	dir  string
	srv  *tap.Server
	err  error
}

// URL is the address of one server, with JetStream, shared by the examples of a
// test binary. [Main] stops it.
func URL() string {
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "natstest-"); shared.err == nil {
			shared.srv, shared.err = tap.NewServer(server.Options{Port: server.RANDOM_PORT, JetStream: true, StoreDir: shared.dir})
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
// is left.
func Run(m interface{ Run() int }) int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // hundreds of servers live shortly: memory is cheaper than their sweeping
	}
	_ = flag.Set("test.parallel", "8") // parallel tests are those on the real clock: they wait more than they work
	inMemory()
	code := m.Run()
	if shared.srv != nil {
		shared.srv.Stop()
	}
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir) // a leftover in $TMPDIR is no reason to fail
	}
	if code == 0 {
		if err := goleak.Find(
			goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
			// A sourcing stream that asked for its consumer waits for the answer, up to 30s, also
			// when its server has been shut down.
			goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"),
		); err != nil {
			fmt.Fprintln(os.Stderr, "natstest: after the tests,", err)
			return 1
		}
	}
	return code
}

// FreePort is [tap.FreePort] for a test.
func FreePort(tb testing.TB) int {
	tb.Helper()
	port, err := tap.FreePort()
	if err != nil {
		tb.Fatal(err)
	}
	return port
}
