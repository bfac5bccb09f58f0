package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// Config tunes a [Reader]. The zero Config is ready to use.
type Config struct {
	Concurrency int           // queries at once; more are refused; 16 if zero
	Prefetch    int           // chunks that are sent before the client requests them; 8 if zero
	IdleTimeout time.Duration // for a client that requests no chunk; 30s if zero
	Grace       time.Duration // to finish the queries after ctx ends; 10s if zero
	Log         *slog.Logger  // failed queries; discarded if nil
}

func (c Config) normal() (Config, error) {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	err := errors.Join(
		setDefault("Concurrency", &c.Concurrency, 16, 1),
		setDefault("Prefetch", &c.Prefetch, 8, 1),
		setDefault("IdleTimeout", &c.IdleTimeout, 30*time.Second, 1),
		setDefault("Grace", &c.Grace, 10*time.Second, 1),
	)
	return c, err
}

// Reader replies to queries with the rows of a source.
type Reader struct {
	nc         *nats.Conn
	name       string
	source     Source
	cfg        Config
	statements map[string]Statement // by subject
	sub        *nats.Subscription
	ctx        context.Context // of all queries; ends when Grace is over
	cancel     context.CancelFunc
	running    chan struct{} // has an element for each running query
	ran        atomic.Bool
}

// NewReader subscribes to queries of the statements. Readers with one name share
// the queries. It replies from its return on; Run waits for the end. The context
// bounds this call only.
func NewReader(ctx context.Context, nc *nats.Conn, name string, source Source, statements []Statement, cfg Config) (*Reader, error) {
	cfg, err := cfg.normal()
	if err := errors.Join(err, checkID(name)); err != nil {
		return nil, err
	}
	if s, ok := source.(*sqlSource); source == nil || ok && s.db == nil || len(statements) == 0 {
		return nil, fmt.Errorf("%w: source is %v, with %d statements; use a source with a database, and at least one statement", ErrConfig, source, len(statements))
	}
	r := &Reader{nc: nc, name: name, source: source, cfg: cfg, statements: map[string]Statement{}, running: make(chan struct{}, cfg.Concurrency)}
	for _, st := range statements {
		if err := st.check(); err != nil {
			return nil, err
		}
		r.statements[name+".query."+st.Name] = st
	}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.sub, err = nc.QueueSubscribe(name+".query.*", "readers", r.receive)
	if err != nil {
		return nil, fmt.Errorf("query: reader of %s: %w", name, err)
	}
	flush, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := errors.Join(nc.FlushWithContext(flush), ctx.Err()); err != nil { // a flush may win against an ended ctx
		_ = r.sub.Unsubscribe() // fails only if the connection is closed
		r.cancel()              // of queries that were received before
		return nil, fmt.Errorf("query: reader of %s: %w", name, err)
	}
	return r, nil
}

// Run waits until ctx ends. Then it unsubscribes, finishes the running queries, and
// returns nil. After Config.Grace it cancels them. Run returns an error if the
// connection is closed.
func (r *Reader) Run(ctx context.Context) error {
	if r.ran.Swap(true) {
		return ErrAlreadyRun
	}
	defer r.cancel()
	closed, drained := r.nc.StatusChanged(nats.CLOSED), r.sub.StatusChanged(nats.SubscriptionClosed)
	defer r.nc.RemoveStatusListener(closed)
	if !r.nc.IsClosed() {
		select {
		case <-ctx.Done():
		case <-closed:
		}
	}
	if r.nc.IsClosed() {
		r.cancel()
		r.awaitQueries()
		return fmt.Errorf("query: reader of %s: %w", r.name, nats.ErrConnectionClosed)
	}
	grace := time.AfterFunc(r.cfg.Grace, r.cancel)
	defer grace.Stop()
	drainSubscription(r.nc, r.sub)
	select {
	case <-drained:
	case <-r.ctx.Done():
	}
	r.awaitQueries()
	return nil
}

// awaitQueries waits until no query runs, and lets no other one start.
func (r *Reader) awaitQueries() {
	for range cap(r.running) {
		r.running <- struct{}{}
	}
}

func (r *Reader) receive(msg *nats.Msg) {
	select {
	case r.running <- struct{}{}:
		go func() {
			defer func() { <-r.running }()
			r.reply(msg)
		}()
	default:
		r.refuse(msg.Reply, &Error{"429", fmt.Sprintf("%d queries are running; try again, or start another reader", r.cfg.Concurrency)})
	}
}

func (r *Reader) reply(msg *nats.Msg) {
	st, ok := r.statements[msg.Subject]
	if !ok {
		r.refuse(msg.Reply, &Error{"404", fmt.Sprintf("no statement %.64q", strings.TrimPrefix(msg.Subject, r.name+".query."))})
		return
	}
	args, err := st.values(msg.Data)
	if err != nil {
		r.refuse(msg.Reply, &Error{"400", err.Error()})
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	out, err := newStream(r.nc, msg.Reply, r.cfg, cancel)
	if err != nil {
		return // the connection is closed
	}
	defer func() { _ = out.sub.Unsubscribe() }() // fails only if the connection is closed
	go out.beat(ctx)
	err = callHandler(ctx, r.cfg.Log, msg.Subject, func(ctx context.Context, out *stream) error { return r.stream(ctx, out, st, args) }, out)
	switch {
	case r.ctx.Err() != nil:
		r.refuse(msg.Reply, &Error{"503", "the reader is stopping"})
	case err != nil && ctx.Err() == nil: // otherwise the client is gone
		r.refuse(msg.Reply, err)
	}
}

func (r *Reader) stream(ctx context.Context, out *stream, st Statement, args []any) error {
	for row, err := range r.source.Query(ctx, st, args) {
		if err != nil {
			return err
		}
		if err := out.add(ctx, row); err != nil {
			return err
		}
	}
	return out.send(ctx, true)
}

// refuse ends a result with err. If that message is lost, the client notices the silence.
func (r *Reader) refuse(to string, err error) {
	refusal := &Error{"500", "internal error"} // the cause is only logged: it can contain secrets
	if !errors.As(err, &refusal) {
		r.cfg.Log.Error("query: the source failed", "reader", r.name, "err", err)
	}
	_ = r.nc.PublishMsg(&nats.Msg{Subject: to, Header: nats.Header{micro.ErrorCodeHeader: {refusal.Code}, micro.ErrorHeader: {refusal.Text}}})
}
