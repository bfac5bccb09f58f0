package demo

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/lmittmann/tint"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/term"

	"github.com/natspatterns/catalog/internal/server"
)

type flags struct {
	server string
	only   string
	wire   bool
	port   int
	serve  bool
	http   string
}

// Main performs the play as a program: on an embedded server, or on the one that
// -server or the environment names. It exits 0 when the play is over or Ctrl-C
// ended it, 1 when it failed, 2 when it was called wrongly.
func (p Play) Main() {
	os.Exit(p.main(os.Args[1:], os.Stdout, os.Stderr))
}

func (p Play) main(args []string, out, errs io.Writer) int {
	var f flags
	set := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&f.server, "server", "", "play on the NATS server at this `URL`, not on an embedded one")
	set.StringVar(&f.only, "only", "", "perform only the participant `NAME`, without end, until Ctrl-C")
	set.BoolVar(&f.wire, "wire", false, "print what crosses the wire, as it happens")
	set.IntVar(&f.port, "port", 0, "listen on this `PORT` of 127.0.0.1, so that other NATS clients can join (4222, or if taken any free one)")
	if f.serve = p.Door != "" && len(args) > 0 && args[0] == "serve"; f.serve {
		args = args[1:]
		set.StringVar(&f.http, "http", "127.0.0.1:8080", "serve HTTP at this `ADDRESS`")
	}
	err := set.Parse(args)
	if err == nil && set.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	if err == nil && (f.port < 0 || f.port > 65535) {
		err = fmt.Errorf("-port %d is not between 1 and 65535", f.port)
	}
	if errors.Is(err, flag.ErrHelp) {
		p.help(out, set)
		return 0
	}
	if err != nil {
		fmt.Fprintf(errs, "%s: %v; -h lists the flags\n", p.Name, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := p.run(ctx, f, out, errs); err != nil {
		fmt.Fprintf(errs, "%s: %v\n", p.Name, err)
		return 1
	}
	return 0
}

func (p Play) help(out io.Writer, set *flag.FlagSet) {
	fmt.Fprintf(out, "%s: %s.\n\nUsage: %s [flags]\n", p.Name, p.About, p.Name)
	if p.Door != "" {
		fmt.Fprintf(out, "       %s serve [-http 127.0.0.1:8080] [flags]   keeps it running, for you to use\n", p.Name)
	}
	fmt.Fprintln(out)
	set.SetOutput(out)
	set.PrintDefaults()
	fmt.Fprintf(out, `
Without -server the demo brings its own NATS server. With it, or with the
environment of the nats CLI (NATS_URL, NATS_CONTEXT, NATS_CREDS, NATS_USER,
NATS_PASSWORD, NATS_TOKEN, NATS_NKEY, NATS_CERT, NATS_KEY, NATS_CA), it plays on
yours: streams that it made there carry metadata %s=%s and are deleted at
the start and the end; others of the same name are never touched. With -only they
are left for the other participants to use. NO_COLOR turns colours off.

Example: perform one participant in each of several terminals
  nats-server -js
  %s -server nats://127.0.0.1:4222 -only NAME
`, markKey, p.Name, p.Name)
}

func (p Play) run(ctx context.Context, f flags, out, errs io.Writer) (err error) {
	stage := Stage{Out: out, Only: f.only, Serve: f.http, Wire: f.wire, Dim: plain}
	if colour(out) {
		stage.Dim = func(s string) string { return "\x1b[2m" + s + "\x1b[0m" }
	}
	stage.Log = slog.New(tint.NewTextHandler(errs, &tint.Options{TimeFormat: time.TimeOnly, NoColor: !colour(errs)}))
	if to := elsewhere(f.server); to != nil {
		stage.Connect = to
		tidy, err := p.prepare(ctx, to, f.only != "")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, tidy()) }()
		return p.Perform(ctx, stage)
	}
	dir, err := os.MkdirTemp("", "demo-"+p.Name+"-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if stage.Server, err = embedded(dir, f.port); err != nil {
		return err
	}
	defer func() { stage.Server.Stop() }()
	fmt.Fprintf(out, "%s\n", stage.Dim("listen in with: nats --server "+stage.Server.ClientURL()+" sub '>'"))
	return p.Perform(ctx, stage)
}

func plain(s string) string { return s }

// colour reports whether w is a terminal whose user has nothing against colours.
func colour(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}

// embedded starts the demo's own server, on 4222 or any free port, or on the port
// that was asked for and no other.
func embedded(dir string, port int) (*server.Server, error) {
	if port > 0 && !free(port) {
		return nil, fmt.Errorf("port %d is taken; choose another with -port, or leave -port out", port)
	}
	if port == 0 {
		if port = 4222; !free(port) {
			port = natsserver.RANDOM_PORT
		}
	}
	return server.New(natsserver.Options{Port: port, JetStream: true, StoreDir: dir})
}

func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	return err == nil && l.Close() == nil
}

// prepare checks the server elsewhere, and removes there what an earlier run left;
// the function returned does so after this one.
func (p Play) prepare(ctx context.Context, to connector, keep bool) (func() error, error) {
	nc, domain, err := to(p.Name + "-frame")
	if err != nil {
		return nil, err
	}
	var js jetstream.JetStream
	if domain != "" {
		js, err = jetstream.NewWithDomain(nc, domain)
	} else {
		js, err = jetstream.New(nc)
	}
	if err == nil && len(p.Streams) > 0 {
		err = p.clear(ctx, js, keep)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return func() error {
		defer nc.Close()
		if keep || len(p.Streams) == 0 {
			return nil
		}
		return p.clear(context.WithoutCancel(ctx), js, false)
	}, nil
}

type connector = func(name string, opts ...nats.Option) (*nats.Conn, string, error)
