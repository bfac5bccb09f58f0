// Package demo is the frame around every demo: a server, named participants,
// output and an orderly end. It knows nothing of any pattern.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/link"
	"github.com/natspatterns/catalog/internal/server"
	"github.com/natspatterns/catalog/internal/wire"
)

// Play is a demo: a short story that a cast of participants acts out over NATS,
// and that ends by itself.
type Play struct {
	Name    string                // as the directory under demos
	About   string                // what it shows, in a line
	Lasts   time.Duration         // when it is over, if not all have finished before
	Streams []string              // every stream it makes; "KV_x" is the bucket x
	Scene   [2]time.Duration      // the part that its diagram shows; all of it if zero
	Draw    func(wire.Arrow) bool // what of it the diagram shows; all if nil
	Door    string                // the HTTP door that "serve" opens at -http; if empty, it cannot be served
	Cast    func(*Env) error      // gives each participant its part, and returns at once
}

// Stage is where a play is performed.
type Stage struct {
	Server   *server.Server                                                     // the embedded one; nil when Connect reaches another
	Connect  func(name string, opts ...nats.Option) (*nats.Conn, string, error) // to another server; the string is its JetStream domain
	Recorder *wire.Recorder                                                     // of what crosses the wire; nil records nothing
	Wire     bool                                                               // print what crosses the wire, instead of recording it
	Out      io.Writer                                                          // the transcript
	Log      *slog.Logger                                                       // discards if nil
	Memory   bool                                                               // HTTP stays in memory
	Undated  bool                                                               // no times in the transcript
	Only     string                                                             // perform this one participant, without end
	Serve    string                                                             // keep the system running without end, its Door at this address
	Dim      func(string) string                                                // how a terminal shows what matters less
}

// Env is what a play finds on its stage.
type Env struct {
	play  Play
	stage Stage
	ctx   context.Context
	end   context.CancelCauseFunc
	t0    time.Time
	cast  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	names  []string
	acting []string
	ids    map[string]int
	lines  map[string]*link.Link
	conns  []*nats.Conn
	domain string
	doors  map[string]*door
}

// hangs is how long a participant may take to leave once the play is over.
const hangs = 30 * time.Second

// Perform performs the play until its end, or until ctx ends, and returns when
// every participant has left.
func (p Play) Perform(ctx context.Context, stage Stage) error {
	if stage.Log == nil {
		stage.Log = slog.New(slog.DiscardHandler)
	}
	if stage.Dim == nil {
		stage.Dim = func(s string) string { return s }
	}
	e := &Env{play: p, stage: stage, t0: time.Now(), ids: map[string]int{}, lines: map[string]*link.Link{}, doors: map[string]*door{}}
	if stage.Wire {
		e.stage.Recorder = &wire.Recorder{}
		e.stage.Recorder.Listen(e.wire())
	}
	e.ctx, e.end = context.WithCancelCause(ctx)
	if stage.Only == "" && stage.Serve == "" && p.Lasts > 0 {
		over := time.AfterFunc(p.Lasts, func() { e.end(nil) })
		defer over.Stop()
	}
	err := p.Cast(e)
	if err == nil && stage.Only != "" && len(e.conns) == 0 {
		err = fmt.Errorf("the demo %s has no participant %q; it has %q", p.Name, stage.Only, e.names)
	}
	if err != nil {
		e.end(err)
	}
	left := make(chan struct{})
	go func() { e.cast.Wait(); close(left) }()
	select {
	case <-left:
	case <-e.ctx.Done():
		select {
		case <-left:
		case <-time.After(hangs):
			err = fmt.Errorf("%q did not leave within %v of the end", e.present(), hangs)
			if cause := context.Cause(e.ctx); !errors.Is(cause, context.Canceled) {
				err = errors.Join(cause, err)
			}
			return err
		}
	}
	e.end(nil)
	for _, nc := range e.conns {
		nc.Close()
	}
	if cause := context.Cause(e.ctx); ctx.Err() == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return err
}

// At waits until d after the start of the play, and reports whether the play is
// still on.
func (e *Env) At(d time.Duration) bool {
	select {
	case <-time.After(time.Until(e.t0.Add(d))):
		return e.ctx.Err() == nil
	case <-e.ctx.Done():
		return false
	}
}

// ID returns order-1, order-2 and so on: the ids of a play repeat with it. In a
// process of its own (-only), where they would clash, they hold the time as well.
func (e *Env) ID(kind string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ids[kind]++
	if e.stage.Only != "" {
		return fmt.Sprintf("%s-%d-%d", kind, e.t0.Unix(), e.ids[kind])
	}
	return fmt.Sprintf("%s-%d", kind, e.ids[kind])
}

// Printf writes an effect on a line of its own, dated from the start of the play.
func (e *Env) Printf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if !e.stage.Undated {
		line = e.stage.Dim(fmt.Sprintf("%6.2fs", time.Since(e.t0).Round(10*time.Millisecond).Seconds())) + "  " + line
	}
	e.print(line + "\n")
}

// Tell writes what is about to happen, and why, as a paragraph.
func (e *Env) Tell(format string, args ...any) {
	e.print("\n" + fmt.Sprintf(format, args...) + "\n\n")
}

func (e *Env) print(s string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, _ = io.WriteString(e.stage.Out, s) // a demo whose output is closed has nobody to tell
}

// wire returns a function that prints each arrow of the story that crosses the
// wire.
func (e *Env) wire() func(wire.Event) {
	describer := wire.NewDescriber()
	return func(ev wire.Event) {
		if a, ok := describer.Describe(ev); ok {
			e.print(e.stage.Dim(fmt.Sprintf("%6.2fs  %s -> %s: %s", ev.At.Sub(e.t0).Seconds(), a.From, a.To, a.Text)) + "\n")
		}
	}
}

// Serving reports whether the play is to be a system that others use, and not to
// act on its own.
func (e *Env) Serving() bool { return e.stage.Serve != "" }

// Log is for what went wrong and is no part of the story. It goes to stderr.
func (e *Env) Log() *slog.Logger { return e.stage.Log }

// Start is when the play began.
func (e *Env) Start() time.Time { return e.t0 }

// Mark is the metadata by which the frame knows a stream or bucket as the play's
// own. On a real server, what does not carry it is never touched.
func (e *Env) Mark() map[string]string { return mark(e.play.Name) }

// Line is the wire of a participant, to cut or slow.
func (e *Env) Line(name string) *link.Link {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lines[name] == nil {
		var server link.Dialer
		if e.stage.Server != nil {
			server = e.stage.Server
		}
		e.lines[name] = link.New(name, server, e.stage.Recorder)
	}
	return e.lines[name]
}

// StopServer stops the embedded server; what it stored stays. A server that is not
// ours goes on, but no participant reaches it.
func (e *Env) StopServer() {
	if e.stage.Server != nil {
		e.stage.Server.Stop()
		return
	}
	for _, l := range e.allLines() {
		l.Down()
	}
}

// StartServer starts it again.
func (e *Env) StartServer() error {
	if e.stage.Server != nil {
		return e.stage.Server.Start()
	}
	for _, l := range e.allLines() {
		l.Up()
	}
	return nil
}

func (e *Env) allLines() []*link.Link {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Values(e.lines))
}
