// Code generated from internal/shared by make stamp; DO NOT EDIT.

package streaming

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"strings"
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

// lastToken returns the last token of a subject.
func lastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

// callHandler calls handle with msg. A panic is logged with its stack and returned
// as an error: it fails this message only.
func callHandler[M any](ctx context.Context, log *slog.Logger, subject string, handle func(context.Context, M) error, msg M) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("streaming: the handler panicked", "subject", subject, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return handle(ctx, msg)
}

// readOrdered calls handle for each message of the stream that cfg selects, in stream
// order and once. It returns nil when ctx ends, and an error if the stream or the
// connection is gone. Unlike nats.go's ordered consumer, it can be stopped while it is
// disconnected, and it does not retry for ever on a deleted stream.
func readOrdered(ctx context.Context, js jetstream.JetStream, log *slog.Logger, stream string, cfg jetstream.ConsumerConfig,
	handle func(jetstream.Msg, *jetstream.MsgMetadata)) error {
	cfg.AckPolicy, cfg.MemoryStorage, cfg.Replicas, cfg.InactiveThreshold = jetstream.AckNonePolicy, true, 1, 30*time.Second
	for {
		cons, err := callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) { return js.CreateConsumer(ctx, stream, cfg) })
		if ctx.Err() == nil && isGone(err) {
			return fmt.Errorf("read stream %s: %w", stream, err)
		}
		if err == nil {
			err = readConsumer(ctx, js.Conn(), cons, &cfg, handle)
		}
		if ctx.Err() != nil {
			return nil
		}
		log.Warn("streaming: reading is interrupted and continues with a new consumer", "stream", stream, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// readConsumer returns at the first gap, after a reconnect, and when no heartbeat
// arrives. It moves the start of cfg behind each message.
func readConsumer(ctx context.Context, nc *nats.Conn, cons jetstream.Consumer, cfg *jetstream.ConsumerConfig,
	handle func(jetstream.Msg, *jetstream.MsgMetadata)) error {
	reconnected := nc.StatusChanged(nats.CONNECTED)
	ctx, end := context.WithCancelCause(ctx)
	go func() { // until the end of the listener
		if _, ok := <-reconnected; ok {
			end(errors.New("the client reconnected")) // lost messages show only when a later one arrives
		}
	}()
	defer func() { nc.RemoveStatusListener(reconnected); end(nil) }()
	it, err := cons.Messages(jetstream.PullMaxMessages(2000), jetstream.PullExpiry(4*time.Second), jetstream.PullHeartbeat(time.Second))
	if err != nil {
		return err
	}
	defer it.Stop()
	for want := uint64(1); ; want++ {
		msg, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != want {
			return fmt.Errorf("message %d of the consumer arrived instead of %d", meta.Sequence.Consumer, want)
		}
		handle(msg, meta)
		if cfg.DeliverPolicy == jetstream.DeliverByStartSequencePolicy {
			cfg.OptStartSeq = meta.Sequence.Stream + 1
		}
	}
}
