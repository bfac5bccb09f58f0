// Code generated from internal/shared by make stamp; DO NOT EDIT.

package sequence

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// publishBatch stores msgs in one stream, all or none, and returns the sequence of the
// last one. With waitFirst the server can refuse before it receives the rest; without,
// there is one round trip. The stream needs AllowAtomicPublish, and the server 2.12.
func publishBatch(ctx context.Context, nc *nats.Conn, msgs []*nats.Msg, waitFirst bool) (uint64, error) {
	batch, first, last := rand.Text(), 0, len(msgs)-1
	if last > 0 {
		msgs[last].Header.Set("Nats-Batch-Commit", "1")
	}
	for i, m := range msgs {
		if last > 0 {
			m.Header.Set("Nats-Batch-Id", batch)
			m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		}
		if size, most := int64(m.Size()-len(m.Subject)-len(m.Reply)), nc.MaxPayload(); most > 0 && size > most { // as the server counts
			return 0, fmt.Errorf("%s: message %d has %d bytes, max_payload is %d: %w", m.Subject, i+1, size, most, nats.ErrMaxPayload)
		}
	}
	if last > 0 && waitFirst {
		if _, err := ackSequence(nc.RequestMsgWithContext(ctx, msgs[0])); err != nil {
			return 0, err
		}
		first = 1
	}
	for _, m := range msgs[first:last] {
		if err := nc.PublishMsg(m); err != nil {
			return 0, fmt.Errorf("%s: %w", m.Subject, err)
		}
	}
	seq, err := ackSequence(nc.RequestMsgWithContext(ctx, msgs[last]))
	if err == nil && seq == 0 {
		err = fmt.Errorf("%s: the reply is not from JetStream; no service may subscribe to this subject", msgs[last].Subject)
	}
	return seq, err
}

// ackSequence returns the sequence in the reply to a publish. It is 0 if the reply is
// empty: for a message of a batch before its last one, or without a stream.
func ackSequence(reply *nats.Msg, err error) (uint64, error) {
	var ack struct {
		Seq   uint64              `json:"seq"`
		Error *jetstream.APIError `json:"error"`
	}
	if err != nil || len(reply.Data) == 0 {
		return 0, err
	}
	if err = json.Unmarshal(reply.Data, &ack); err == nil && ack.Error != nil {
		err = ack.Error
	}
	return ack.Seq, err
}

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
		log.Warn("sequence: the consumer is interrupted", "err", err)
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

// callHandler calls handle with msg. A panic is logged with its stack and returned
// as an error: it fails this message only.
func callHandler[M any](ctx context.Context, log *slog.Logger, subject string, handle func(context.Context, M) error, msg M) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("sequence: the handler panicked", "subject", subject, "panic", p, "stack", string(debug.Stack()))
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

// warnIf logs that an ack, nak or term failed, unless the message was acked before.
func warnIf(log *slog.Logger, action string, msg jetstream.Msg, err error) {
	if err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
		log.Warn("sequence: could not "+action+"; the message can be redelivered", "subject", msg.Subject(), "err", err)
	}
}

// keepInProgress sends in-progress for the messages that inFlight returns, three times
// per AckWait, so that the server does not redeliver them. The caller calls stop.
func keepInProgress(ackWait time.Duration, log *slog.Logger, inFlight func() []jetstream.Msg) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for tick := time.Tick(ackWait / 3); ctx.Err() == nil; {
			select {
			case <-ctx.Done():
			case <-tick:
				for _, msg := range inFlight() {
					warnIf(log, "send in-progress", msg, msg.InProgress())
				}
			}
		}
	})
	return func() { cancel(); running.Wait() }
}

// reorderQueue holds the messages of one key that arrived before their turn, sorted
// by number. A number is held once. evict bounds what is held.
type reorderQueue struct {
	next uint64 // the number to release next; 0 if it is not known
	held []numberedMsg
}

type numberedMsg struct {
	number uint64
	jetstream.Msg
}

// put holds msg. It returns whether msg replaced a message with the same number.
func (q *reorderQueue) put(number uint64, msg jetstream.Msg) (replaced bool) {
	i, replaced := q.find(number)
	if !replaced {
		q.held = slices.Insert(q.held, i, numberedMsg{number: number})
	}
	q.held[i].Msg = msg
	return replaced
}

// find returns the position of number in held, and whether it is there.
func (q *reorderQueue) find(number uint64) (int, bool) {
	return slices.BinarySearchFunc(q.held, number, func(h numberedMsg, n uint64) int { return cmp.Compare(h.number, n) })
}

// peek returns the message to release next, or nil if it is missing.
func (q *reorderQueue) peek() jetstream.Msg {
	if len(q.held) == 0 || q.held[0].number != q.next {
		return nil
	}
	return q.held[0].Msg
}

// gap returns the numbers that are missing before the first message held; 0 and 0 if
// none is.
func (q *reorderQueue) gap() (from, to uint64) {
	if len(q.held) == 0 || q.next == 0 || q.held[0].number <= q.next {
		return 0, 0
	}
	return q.next, q.held[0].number - 1
}

// advance makes next the number to release. It removes and returns the messages
// before it: they were released, or are duplicates.
func (q *reorderQueue) advance(next uint64) (done []numberedMsg) {
	i, _ := q.find(next)
	q.next, done, q.held = next, q.held[:i:i], q.held[i:]
	if len(q.held) == 0 {
		q.held = nil // frees the array
	}
	return done
}

// evict removes and returns the last n messages: those with the highest numbers.
func (q *reorderQueue) evict(n int) (last []numberedMsg) {
	if n > 0 {
		n = max(0, len(q.held)-n)
		q.held, last = q.held[:n:n], q.held[n:]
	}
	return last
}
