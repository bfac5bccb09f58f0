// Code generated from internal/shared by make stamp; DO NOT EDIT.

package queueing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

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
			log.Error("queueing: the handler panicked", "subject", subject, "panic", p, "stack", string(debug.Stack()))
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
		log.Warn("queueing: could not "+action+"; the message can be redelivered", "subject", msg.Subject(), "err", err)
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

// permissionError returns the permission violation that the server has reported since
// before, the last error of nc, for a subject that begins with prefix. The caller has
// waited for an ack, so the server has processed what was published.
func permissionError(nc *nats.Conn, before error, prefix string) error {
	err := nc.LastError()
	if err == before || !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `"`+prefix) {
		return nil
	}
	return err
}

// drainSubscription unsubscribes after the messages that were sent to sub until now.
func drainSubscription(nc *nats.Conn, sub *nats.Subscription) {
	for !nc.IsConnected() { // no more messages arrive, and Drain would wait for the server
		if n, _, err := sub.Pending(); n == 0 || err != nil {
			_ = sub.Unsubscribe() // fails only if the connection is closed
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = sub.Drain() // fails only if the connection is closed
}
