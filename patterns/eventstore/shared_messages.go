// Code generated from internal/shared by make stamp; DO NOT EDIT.

package eventstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"strconv"
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

// lastMessage returns the last message of a subject, or nil. It reads from the leader
// of the stream. jetstream.Stream reads from any replica, which can miss messages, if
// the stream has AllowDirect.
func lastMessage(ctx context.Context, js jetstream.JetStream, stream, subject string) (*jetstream.RawStreamMsg, error) {
	body := fmt.Appendf(nil, `{"last_by_subj":%q}`, subject)
	reply, err := js.Conn().RequestWithContext(ctx, apiSubject(js, "STREAM.MSG.GET."+stream), body)
	if err != nil {
		return nil, err
	}
	var resp struct {
		Error   *jetstream.APIError
		Message struct {
			jetstream.RawStreamMsg
			Seq  uint64
			Hdrs []byte
		}
	}
	if err := json.Unmarshal(reply.Data, &resp); err != nil {
		return nil, err
	}
	if resp.Error != nil && resp.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return nil, nil
	}
	if resp.Error != nil {
		return nil, resp.Error
	}
	m := resp.Message.RawStreamMsg
	m.Sequence = resp.Message.Seq
	if len(resp.Message.Hdrs) > 0 {
		m.Header, err = nats.DecodeHeadersMsg(resp.Message.Hdrs)
	}
	return &m, err
}

// apiSubject returns the subject of a JetStream API call, in the domain of js.
func apiSubject(js jetstream.JetStream, call string) string {
	o := js.Options()
	if o.APIPrefix != "" {
		return o.APIPrefix + "." + call
	}
	if o.Domain != "" {
		return "$JS." + o.Domain + ".API." + call
	}
	return "$JS.API." + call
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

// callHandler calls handle with msg. A panic is logged with its stack and returned
// as an error: it fails this message only.
func callHandler[M any](ctx context.Context, log *slog.Logger, subject string, handle func(context.Context, M) error, msg M) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("eventstore: the handler panicked", "subject", subject, "panic", p, "stack", string(debug.Stack()))
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
		log.Warn("eventstore: could not "+action+"; the message can be redelivered", "subject", msg.Subject(), "err", err)
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
