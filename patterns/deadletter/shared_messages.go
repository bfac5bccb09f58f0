// Code generated from internal/shared by make stamp; DO NOT EDIT.

package deadletter

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// consume calls handle for each message of cons until ctx ends, and then naks those
// that were prefetched. It calls fail if cons cannot deliver any more. wait returns
// after the end of ctx and of the last call of handle.
func consume(ctx context.Context, nc *nats.Conn, cons jetstream.Consumer, log *slog.Logger, fail func(error), handle func(jetstream.Msg),
	opts ...jetstream.PullConsumeOpt) (wait func(), err error) {
	c, err := cons.Consume(func(msg jetstream.Msg) {
		if ctx.Err() != nil {
			warnIf(log, "nak", msg, msg.Nak()) // without a nak it is redelivered only after AckWait
			return
		}
		handle(msg)
	}, append(opts, jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		log.Warn("deadletter: the consumer is interrupted", "err", err)
		if !errors.Is(err, jetstream.ErrBadRequest) { // the server refuses every pull request
			err = checkConsumer(ctx, cons, err)
		}
		if err != nil {
			fail(err)
		}
	}))...)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() {
		if nc.IsConnected() {
			c.Drain()
			return
		}
		c.Stop() // Drain would wait for the server
	})
	return func() { <-c.Closed() }, nil
}

// progress keeps messages in progress while their handlers run. For a fast handler it
// is cheaper than keepInProgress: it has no goroutine, and one timer for all messages.
type progress struct {
	every time.Duration // a third of AckWait
	log   *slog.Logger

	mu       sync.Mutex // guards what follows
	inFlight map[jetstream.Msg]bool
	armed    bool // tick is going to be called
}

func newProgress(ackWait time.Duration, log *slog.Logger) *progress {
	return &progress{every: ackWait / 3, log: log, inFlight: map[jetstream.Msg]bool{}}
}

func (p *progress) start(msg jetstream.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inFlight[msg] = true
	if !p.armed {
		p.armed = true
		time.AfterFunc(p.every, p.tick)
	}
}

func (p *progress) stop(msg jetstream.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.inFlight, msg)
}

func (p *progress) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for msg := range p.inFlight {
		warnIf(p.log, "send in-progress", msg, msg.InProgress())
	}
	p.armed = len(p.inFlight) > 0
	if p.armed {
		time.AfterFunc(p.every, p.tick)
	}
}

var fingerprintSeed = maphash.MakeSeed()

// fingerprint returns a hash of the payload and the headers of msg. It shows whether a
// handler has changed them, and costs less than a copy.
func fingerprint(msg jetstream.Msg) uint64 {
	sum := maphash.Bytes(fingerprintSeed, msg.Data())
	for name, values := range msg.Headers() { // in any order
		h := maphash.String(fingerprintSeed, name)
		for _, v := range values {
			h = 31*h + maphash.String(fingerprintSeed, v)
		}
		sum += h
	}
	return sum
}

// copyHeader returns a copy of h for a message that is published again. It leaves out
// the server's Nats-* headers, which are orders that were carried out: the server
// would refuse, deduplicate, schedule or expire the copy. It also leaves out names
// that begin with own, the prefix of this package's headers. nats.go receives names
// that it refuses to publish: each byte that it refuses becomes a "_".
func copyHeader(h nats.Header, own string) nats.Header {
	c := make(nats.Header, len(h)+4)
	for name, values := range h {
		low := strings.ToLower(name)
		if strings.HasPrefix(low, "nats-") || own != "" && strings.HasPrefix(low, strings.ToLower(own)) {
			continue
		}
		name = strings.Map(func(r rune) rune {
			if r <= ' ' || r > '~' || strings.ContainsRune("\"()/,:;<=>?@[\\]{}", r) {
				return '_'
			}
			return r
		}, name)
		if name != "" {
			c[name] = append(c[name], values...)
		}
	}
	return c
}

// errorText returns the text of err for a header: valid UTF-8 in one line, of at
// most 1,000 bytes.
func errorText(err error) string {
	text := err.Error()
	text = text[:min(len(text), 1000)]
	return strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
}

// Message is a message as a [Handler] receives it. The handler may change it.
type Message struct {
	ID       string // the last token of the subject
	Subject  string
	Header   nats.Header
	Data     []byte
	Delivery int       // delivery attempt: 1 for the first
	Sequence uint64    // in the stream; 0 without a stream
	Time     time.Time // when it was stored; zero without a stream
}

// newMessage returns msg for a handler.
func newMessage(msg jetstream.Msg) (Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Message{}, err
	}
	return Message{ID: lastToken(msg.Subject()), Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data(),
		Delivery: int(meta.NumDelivered), Sequence: meta.Sequence.Stream, Time: meta.Timestamp}, nil
}

// lastToken returns the last token of a subject.
func lastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

// callHandler calls handle with msg. A panic is logged with its stack and returned
// as an error: it fails this message only.
func callHandler[M any](ctx context.Context, log *slog.Logger, subject string, handle func(context.Context, M) error, msg M) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("deadletter: the handler panicked", "subject", subject, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return handle(ctx, msg)
}

// withGrace returns a context for handlers: it ends grace after ctx, or with stop. If it
// ends after ctx, each function of before is called first.
func withGrace(ctx context.Context, grace time.Duration, before ...func()) (work context.Context, stop func()) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	end := func() {
		for i := 0; i < len(before) && work.Err() == nil; i++ {
			before[i]()
		}
		cancel()
	}
	unhook := context.AfterFunc(ctx, func() { time.AfterFunc(grace, end) })
	return work, func() { unhook(); cancel() }
}

// redeliveryDelay returns how long a message waits after a failed delivery attempt:
// first, doubled after each further attempt, up to one minute.
func redeliveryDelay(first time.Duration, delivery int) time.Duration {
	doubled := float64(first) * math.Exp2(float64(delivery-1))
	return time.Duration(min(doubled, float64(max(first, time.Minute))))
}

// warnIf logs that an ack, nak or term failed, unless the message was acked before.
func warnIf(log *slog.Logger, action string, msg jetstream.Msg, err error) {
	if err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
		log.Warn("deadletter: could not "+action+"; the message can be redelivered", "subject", msg.Subject(), "err", err)
	}
}
