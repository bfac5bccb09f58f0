package sequence

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Most is how many messages [Send] takes at once, which is the server's limit.
const Most = 1000

const alreadyStored = 10201 // of a batch with a message id that is known

// Send stores msgs as the sequence id, all or none: numbered from 1, the last one
// marked; msgs are left as they are. It waits for 10s at most. Sent again after an
// error, within the stream's window of duplicates, it is stored once; an id names one
// sequence, and another under the same id is taken for a repetition. The stream must
// have AllowAtomicPublish. Needs NATS 2.12.
func Send(ctx context.Context, js jetstream.JetStream, id string, msgs ...*nats.Msg) error {
	if len(msgs) == 0 || len(msgs) > Most {
		return fmt.Errorf("%w: a sequence of %d messages; Send takes 1 to %d", ErrPosition, len(msgs), Most)
	}
	nc, batch, last, out := js.Conn(), rand.Text(), len(msgs)-1, make([]*nats.Msg, len(msgs))
	for i, m := range msgs {
		if m == nil {
			return fmt.Errorf("%w: message %d is nil", ErrPosition, i+1)
		}
		m = &nats.Msg{Subject: m.Subject, Header: maps.Clone(m.Header), Data: m.Data}
		if err := Stamp(m, Position{id, uint64(i) + 1, i == last}); err != nil {
			return err
		}
		for _, name := range []string{"Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"} {
			m.Header.Del(name) // it may have been part of another batch
		}
		if last > 0 {
			m.Header.Set("Nats-Batch-Id", batch)
			m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		}
		if size, most := m.Size(), nc.MaxPayload(); most > 0 && int64(size) > most {
			return fmt.Errorf("sequence: message %d of %s takes %d bytes; the server takes %d: %w", i+1, id, size, most, nats.ErrMaxPayload)
		}
		out[i] = m
	}
	if last > 0 {
		out[last].Header.Set("Nats-Batch-Commit", "1")
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := send(ctx, nc, out); err != nil {
		return fmt.Errorf("sequence: send %s: %w", id, err)
	}
	return nil
}

func send(ctx context.Context, nc *nats.Conn, msgs []*nats.Msg) error {
	last := len(msgs) - 1
	if last > 0 {
		if _, err := request(ctx, nc, msgs[0]); err != nil { // lets the server refuse before it is sent the rest
			return err
		}
		for _, m := range msgs[1:last] {
			if err := nc.PublishMsg(m); err != nil {
				return err
			}
		}
	}
	seq, err := request(ctx, nc, msgs[last])
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == alreadyStored {
		return nil
	}
	if err == nil && seq == 0 {
		return fmt.Errorf("%s was answered by another than JetStream; no service may listen there", msgs[last].Subject)
	}
	return err
}

func request(ctx context.Context, nc *nats.Conn, m *nats.Msg) (uint64, error) {
	var ack struct {
		Seq   uint64              `json:"seq"`
		Error *jetstream.APIError `json:"error"`
	}
	reply, err := nc.RequestMsgWithContext(ctx, m)
	if err == nil && len(reply.Data) > 0 { // all but the last message of a batch are acknowledged by nothing
		err = json.Unmarshal(reply.Data, &ack)
	}
	if err == nil && ack.Error != nil {
		err = ack.Error
	}
	return ack.Seq, err
}
