package datapump

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// A result travels as numbered chunks, each a JSON array of rows; the last tells how
// many rows there were. Whoever takes another replies to it, and so allows one more.
// A message without a number says that the reader is alive.
const (
	chunkHeader = "Chunk"
	endHeader   = "End"
	chunkSize   = 64 << 10
	beat        = time.Second
	stop        = "stop" // the reply of a client that wants no more
)

// Error is how a Reader refuses, with codes as in HTTP: 400 the arguments do not fit,
// 404 no such statement, 408 the client took no chunk for too long, 429 too many
// queries at once, 500 the store failed, 503 the reader is stopping.
type Error struct {
	Code string
	Text string
}

func (e *Error) Error() string { return "datapump: " + e.Code + ": " + e.Text }

// Reader answers the statements of a store.
type Reader struct {
	nc         *nats.Conn
	name       string
	store      Store
	cfg        Config
	statements map[string]Statement // by subject
	sub        *nats.Subscription
	ctx        context.Context // of all queries; ended when Grace is over
	kill       context.CancelFunc
	slots      chan struct{} // one for each query being answered
	ran        atomic.Bool
}

// NewReader answers the statements of store under name, sharing the work with other
// readers of that name. It answers from now on; Run is how to wait and to stop. The
// context bounds this call only.
func NewReader(ctx context.Context, nc *nats.Conn, name string, store Store, cfg Config) (*Reader, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(name)
	}
	if err == nil && store == nil {
		err = fmt.Errorf("%w: store is nil", ErrConfig)
	}
	if err != nil {
		return nil, err
	}
	r := &Reader{nc: nc, name: name, store: store, cfg: cfg, statements: map[string]Statement{}, slots: make(chan struct{}, cfg.Limit)}
	for _, st := range store.Schema().Statements {
		r.statements[name+".query."+st.Name] = st
	}
	r.ctx, r.kill = context.WithCancel(context.WithoutCancel(ctx))
	if r.sub, err = nc.QueueSubscribe(name+".query.*", "readers", r.take); err == nil {
		flush, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err = errors.Join(nc.FlushWithContext(flush), ctx.Err()); err != nil { // a flush may win a race against an ended ctx
			_ = r.sub.Unsubscribe() // the first error is the one to tell
		}
	}
	if err != nil {
		r.kill()
	}
	return r, edge(err, "reader of "+name)
}

// Run waits until ctx ends, takes no more queries, finishes those begun, and returns
// nil. After Config.Grace they are broken off. It may be called once.
func (r *Reader) Run(ctx context.Context) error {
	if r.ran.Swap(true) {
		return ErrTwice
	}
	defer r.kill()
	closed, drained := r.nc.StatusChanged(nats.CLOSED), r.sub.StatusChanged(nats.SubscriptionClosed)
	defer r.nc.RemoveStatusListener(closed)
	if !r.nc.IsClosed() {
		select {
		case <-ctx.Done():
		case <-closed:
		}
	}
	var err error
	switch {
	case r.nc.IsClosed():
		err = fmt.Errorf("datapump: reader of %s: %w", r.name, nats.ErrConnectionClosed)
		r.kill()
	case r.nc.IsConnected() && r.sub.Drain() == nil:
		select {
		case <-drained: // all that came has been taken
		case <-time.After(r.cfg.Grace):
		}
	default:
		_ = r.sub.Unsubscribe() // nothing more comes
	}
	hurry := time.AfterFunc(r.cfg.Grace, r.kill)
	defer hurry.Stop()
	for range cap(r.slots) { // when all slots are taken here, nothing is being answered
		r.slots <- struct{}{}
	}
	return err
}

func (r *Reader) take(msg *nats.Msg) {
	select {
	case r.slots <- struct{}{}:
		go func() {
			defer func() { <-r.slots }()
			r.answer(msg)
		}()
	default:
		r.fail(msg.Reply, &Error{"429", fmt.Sprintf("%d queries are being answered; try again, or start another reader", r.cfg.Limit)})
	}
}

func (r *Reader) fail(to string, err error) {
	refusal := &Error{"500", "internal error"} // why is for the log: it may tell of the store
	if !errors.As(err, &refusal) {
		r.cfg.Log.Error("datapump: query failed", "reader", r.name, "err", err)
	}
	_ = r.nc.PublishMsg(&nats.Msg{Subject: to, Header: nats.Header{micro.ErrorCodeHeader: {refusal.Code}, micro.ErrorHeader: {refusal.Text}}}) // the client sees silence instead
}

func (r *Reader) answer(msg *nats.Msg) {
	st, ok := r.statements[msg.Subject]
	if !ok {
		r.fail(msg.Reply, &Error{"404", fmt.Sprintf("no statement %.64q", strings.TrimPrefix(msg.Subject, r.name+".query."))})
		return
	}
	args, err := decode(st.Args, msg.Data)
	if err != nil {
		r.fail(msg.Reply, &Error{"400", err.Error()})
		return
	}
	credits := make(chan *nats.Msg, 4*r.cfg.Window+16) // more than can come
	sub, err := r.nc.ChanSubscribe(r.nc.NewInbox(), credits)
	if err != nil {
		return // the connection is closed
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only if the connection is closed
	ctx, cancel := context.WithCancel(r.ctx)
	chunks := make(chan *chunk)
	go r.read(ctx, st, args, chunks)
	r.send(msg.Reply, sub.Subject, chunks, credits)
	cancel()
	for range chunks { // until the cursor is closed
	}
}
