package eventstore

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

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

const (
	batchMax = 1000             // the server's limit of an atomic batch
	patience = 10 * time.Second // with a call whose context has no deadline
)

// Append adds events, all or none, to an entity that is at version at, and returns
// the version they led to; the zero Version is that of a new entity. An entity at
// another version is a *[Conflict].
//
// While the outcome is unknown Append tries again until ctx ends, and so may the
// caller: the same events at the same version are stored once, whenever retried.
func (s *Store) Append(ctx context.Context, id string, at Version, events ...Event) (Version, error) {
	msgs, err := s.messages(id, at, events)
	if err != nil {
		return Version{}, err
	}
	now, err := s.try(ctx, id, at, events, msgs)
	if err == nil {
		return now, nil
	}
	ctx, cancel := patient(ctx)
	defer cancel()
	for wait := 4 * time.Millisecond; ; wait = min(2*wait, 256*time.Millisecond) {
		if err := s.hopeless(ctx, err); err != nil {
			return Version{}, edge(err, "append to "+id)
		}
		select { // with jitter, as those turned away together would come back together
		case <-ctx.Done():
			return Version{}, fmt.Errorf("eventstore: append to %s: %w, after %w; try again with the same events", id, ctx.Err(), err)
		case <-time.After(wait/2 + rand.N(wait)):
		}
		if now, err = s.try(ctx, id, at, events, msgs); err == nil {
			return now, nil
		}
	}
}

func (s *Store) try(ctx context.Context, id string, at Version, events []Event, msgs []*nats.Msg) (Version, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Try)
	defer cancel()
	seq, err := s.publish(ctx, msgs)
	if isConflict(err) {
		return s.settle(ctx, id, at, events)
	}
	return Version{at.N + uint64(len(events)), seq}, err
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
		if size, most := msgs[i].Size(), s.js.Conn().MaxPayload(); most > 0 && int64(size) > most {
			return nil, fmt.Errorf("%w: event %d (%s) takes %d bytes; the server takes %d: keep the document elsewhere, its address here",
				ErrTooLarge, i+1, e.Type, size, most)
		}
	}
	msgs[0].Header.Set(jetstream.ExpectedLastSubjSeqSubjHeader, s.events(id))
	msgs[0].Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(at.Seq, 10))
	return msgs, nil
}

// publish stores the messages, all or none, and returns the sequence of the last.
func (s *Store) publish(ctx context.Context, msgs []*nats.Msg) (uint64, error) {
	last := len(msgs) - 1
	if last == 0 {
		ack, err := s.js.PublishMsg(ctx, msgs[0])
		if err != nil {
			return 0, err
		}
		return ack.Sequence, nil
	}
	nc, batch := s.js.Conn(), cryptorand.Text()
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
	return request(ctx, nc, msgs[last])
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

// errInProcess is a refusal that says nothing yet of the entity: an append to it,
// perhaps our own before its answer was lost, is on its way through the cluster.
var errInProcess = errors.New("another append is in process")

// settle finds out what a refusal means, from the leader, for a replica may lag:
// that the events are stored already, that others are, or nothing yet.
func (s *Store) settle(ctx context.Context, id string, at Version, events []Event) (Version, error) {
	head, err := s.leader(ctx, getRequest{LastFor: s.events(id)})
	if err != nil {
		return Version{}, err
	}
	if head.Version.Seq == at.Seq {
		return Version{}, errInProcess
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

// hopeless returns why there is no use in trying again, or nil.
func (s *Store) hopeless(ctx context.Context, err error) error {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse):
		// No leader for now, or no stream?
		ctx, cancel := context.WithTimeout(ctx, s.cfg.Try)
		defer cancel()
		if _, gone := s.js.Stream(ctx, s.stream.CachedInfo().Config.Name); errors.Is(gone, jetstream.ErrStreamNotFound) {
			return gone
		}
		return nil
	case errors.As(err, &api):
		switch {
		case api.Code == 429, // too many batches in flight, or too much of anything
			api.ErrorCode == 10176, // the batch lost a message on its way
			api.ErrorCode == 10008: // no meta leader
			return nil
		case api.ErrorCode == 10199:
			return fmt.Errorf("%w: %w", ErrTooLarge, err)
		}
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout), errors.Is(err, errInProcess):
		return nil
	}
	return err
}

func isConflict(err error) bool {
	var api *jetstream.APIError
	return err != nil && errors.As(err, &api) && (api.ErrorCode == 10071 || api.ErrorCode == 10164)
}

func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, patience)
}
