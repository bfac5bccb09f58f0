package eventstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Conflict says that an entity is not in the state an Append was decided on. Load
// what happened since, decide anew.
type Conflict struct {
	Entity           string
	Expected, Actual Version
}

func (c *Conflict) Error() string {
	return fmt.Sprintf("%s is at version %d, not %d", c.Entity, c.Actual.N, c.Expected.N)
}

const batchMax = 1000 // the server's limit of an atomic batch

// Append adds events, all or none, to an entity that is at version at, and returns
// the version they led to; the zero Version is that of a new entity. An entity at
// another version is a *[Conflict].
//
// While the outcome is unknown Append tries again until ctx ends, and so may the
// caller: the same events at the same version are stored once, whenever retried.
func (s *Store) Append(ctx context.Context, id string, at Version, events ...Event) (now Version, err error) {
	msgs, err := s.messages(id, at, events)
	if err != nil {
		return Version{}, err
	}
	err = s.retry(ctx, func(ctx context.Context) error {
		seq, err := s.publish(ctx, msgs)
		now = Version{at.N + uint64(len(events)), seq}
		if isConflict(err) {
			now, err = s.settle(ctx, id, at, events)
		}
		return err
	})
	if err != nil {
		return Version{}, edge(err, "append to "+id)
	}
	return now, nil
}

func (s *Store) messages(id string, at Version, events []Event) ([]*nats.Msg, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("%w: none given; append at least one", ErrEvent)
	}
	if len(events) > batchMax {
		return nil, fmt.Errorf("%w: %d events at once; append at most %d", ErrTooLarge, len(events), batchMax)
	}
	msgs := make([]*nats.Msg, len(events))
	for i, e := range events {
		if err := e.check(); err != nil {
			return nil, err
		}
		e.Entity, e.Version.N = id, at.N+uint64(i)+1
		msgs[i] = s.message(e)
		if err := s.fits(msgs[i], "event %d (%s)", i+1, e.Type); err != nil {
			return nil, err
		}
	}
	msgs[0].Header.Set(jetstream.ExpectedLastSubjSeqSubjHeader, s.events(id))
	msgs[0].Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(at.Seq, 10))
	return msgs, nil
}

func (s *Store) fits(m *nats.Msg, what string, args ...any) error {
	if size, most := m.Size(), s.js.Conn().MaxPayload(); most > 0 && int64(size) > most {
		return fmt.Errorf("%w: %s takes %d bytes; the server takes %d: keep the document elsewhere, its address here",
			ErrTooLarge, fmt.Sprintf(what, args...), size, most)
	}
	return nil
}

// publish stores the messages, all or none, and returns the sequence of the last.
func (s *Store) publish(ctx context.Context, msgs []*nats.Msg) (uint64, error) {
	nc, last := s.js.Conn(), len(msgs)-1
	if last > 0 {
		batch := rand.Text()
		for i, m := range msgs {
			m.Header.Set("Nats-Batch-Id", batch)
			m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		}
		msgs[last].Header.Set("Nats-Batch-Commit", "1")
		if _, err := request(ctx, nc, msgs[0]); err != nil { // lets the server refuse before it is sent the rest
			return 0, err
		}
		for _, m := range msgs[1:last] {
			if err := nc.PublishMsg(m); err != nil {
				return 0, err
			}
		}
	}
	seq, err := request(ctx, nc, msgs[last])
	if err == nil && seq == 0 {
		err = fmt.Errorf("%s was answered by another than JetStream; no service may listen there", msgs[last].Subject)
	}
	return seq, err
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

// settle finds out what a refusal means: that the events are stored already, that
// others are, or nothing yet.
func (s *Store) settle(ctx context.Context, id string, at Version, events []Event) (Version, error) {
	head, err := s.refused(ctx, id, at)
	if err != nil {
		return Version{}, err
	}
	n, last := uint64(len(events)), head
	if head.Version.N != at.N+n {
		if last, err = s.leader(ctx, getRequest{LastFor: s.nth(id, at.N+n)}); err != nil {
			return Version{}, err
		}
	}
	if last.ID == events[n-1].ID { // with it the others, being stored all or none
		return last.Version, nil
	}
	return Version{}, &Conflict{id, at, head.Version}
}

// refused returns the last event of an entity that is said not to be at a version,
// from the leader, for a replica may lag.
func (s *Store) refused(ctx context.Context, id string, at Version) (Event, error) {
	head, err := s.leader(ctx, getRequest{LastFor: s.events(id)})
	if err == nil && head.Version.Seq == at.Seq {
		err = errInProcess
	}
	return head, err
}
