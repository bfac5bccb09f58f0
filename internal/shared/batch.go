package shared

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"

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
