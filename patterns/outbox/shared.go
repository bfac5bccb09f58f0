// Code generated from internal/shared by make stamp; DO NOT EDIT.

package outbox

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// publishBatch stores msgs in one stream, all or none, and returns the sequence of
// the last one. One message is published without a batch. The stream needs
// AllowAtomicPublish, and the server 2.12.
func publishBatch(ctx context.Context, nc *nats.Conn, msgs []*nats.Msg) (uint64, error) {
	batch, last := rand.Text(), len(msgs)-1
	for i, m := range msgs {
		if last > 0 {
			m.Header.Set("Nats-Batch-Id", batch)
			m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		}
	}
	if last > 0 {
		msgs[last].Header.Set("Nats-Batch-Commit", "1")
		if _, err := requestAck(ctx, nc, msgs[0]); err != nil { // the server can refuse before it receives the rest
			return 0, err
		}
		for _, m := range msgs[1:last] {
			if err := nc.PublishMsg(m); err != nil {
				return 0, fmt.Errorf("%s: %w", m.Subject, err)
			}
		}
	}
	seq, err := requestAck(ctx, nc, msgs[last])
	if err == nil && seq == 0 {
		err = fmt.Errorf("%s: the reply is not from JetStream; no service may subscribe to this subject", msgs[last].Subject)
	}
	return seq, err
}

// requestAck publishes m and returns the sequence of its ack; 0 for a message of a
// batch before its last one.
func requestAck(ctx context.Context, nc *nats.Conn, m *nats.Msg) (uint64, error) {
	var ack struct {
		Seq   uint64              `json:"seq"`
		Error *jetstream.APIError `json:"error"`
	}
	reply, err := nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return 0, err
	}
	if len(reply.Data) == 0 {
		return 0, nil
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return 0, err
	}
	if ack.Error != nil {
		return 0, ack.Error
	}
	return ack.Seq, nil
}

// checkID refuses an ID that cannot be one token of a subject.
func checkID(id string) error {
	ok := len(id) > 0 && len(id) <= 64
	for _, c := range []byte(id) {
		ok = ok && ('a' <= c && c <= 'z' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || c == '-' || c == '_')
	}
	if !ok {
		return fmt.Errorf("%w: %.80q; use 1 to 64 of A-Z a-z 0-9 _ -", ErrID, id)
	}
	return nil
}

// setDefault sets a Config field that is zero, and refuses a value below least or above
// most.
func setDefault[T ~int | ~int64](field string, v *T, value, least T, most ...T) error {
	if *v == 0 {
		*v = value
	}
	if *v < least {
		return fmt.Errorf("%w: %s is %v; use at least %v", ErrConfig, field, *v, least)
	}
	if len(most) > 0 && *v > most[0] {
		return fmt.Errorf("%w: %s is %v; use at most %v", ErrConfig, field, *v, most[0])
	}
	return nil
}
