package backoff

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const room = 1024 // bytes of a message that are left for what is added when it fails

// Sender sends to a queue, until its workers are too far behind. It asks how far
// that is, and may then send a tenth of what is missing, so that with up to ten
// Senders MaxWaiting holds.
type Sender struct {
	cfg    Config
	queue  string
	js     jetstream.JetStream
	stream jetstream.Stream
	credit chan int // one value, and a lock that may be waited for
}

// NewSender finds or creates the queue. The context bounds this call only.
func NewSender(ctx context.Context, js jetstream.JetStream, queue string, cfg Config) (*Sender, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(queue)
	}
	if err != nil {
		return nil, err
	}
	stream, _, err := setup(ctx, js, queue, cfg)
	if err != nil {
		return nil, fmt.Errorf("backoff: sender to %s: %w", queue, err)
	}
	s := &Sender{cfg: cfg, queue: queue, js: js, stream: stream, credit: make(chan int, 1)}
	s.credit <- 0
	return s, nil
}

// Send stores the message id; the Subject and the Nats-* and Backoff-* headers of msg are
// not used. It returns nil if it is stored, [ErrFull] if the workers are behind, and
// otherwise it may be stored: sent again within two minutes, it is stored once. An id is
// of one message for as long as that waits: of two, one might be lost.
func (s *Sender) Send(ctx context.Context, id string, msg *nats.Msg) error {
	if err := checkID(id); err != nil {
		return err
	}
	err := s.send(ctx, id, msg)
	if err != nil {
		return fmt.Errorf("backoff: send %s: %w", id, err)
	}
	return nil
}

func (s *Sender) send(ctx context.Context, id string, msg *nats.Msg) error {
	if msg == nil {
		return fmt.Errorf("%w: it is nil; one without a body is an empty Msg", nats.ErrInvalidMsg)
	}
	m := &nats.Msg{Subject: subject(s.queue, "do", id), Header: clean(msg.Header), Data: msg.Data}
	if n, limit := int64(m.Size()), s.js.Conn().MaxPayload()-room; n > limit {
		return fmt.Errorf("%w: %d bytes, at most %d; send a reference to the data", nats.ErrMaxPayload, n, limit)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := s.take(ctx); err != nil {
		return err
	}
	_, err := s.js.PublishMsg(ctx, m, jetstream.WithMsgID(id))
	return err
}

// take takes one of the messages that may be sent.
func (s *Sender) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var left int
	select {
	case left = <-s.credit:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.credit <- max(left-1, 0) }()
	if left > 0 {
		return nil
	}
	info, err := callAPI(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		return s.stream.Info(ctx, jetstream.WithSubjectFilter(subject(s.queue, "failed", "*"))) // not the consumer's, which may lag
	})
	if err != nil {
		return err
	}
	missing := s.cfg.MaxWaiting - int(info.State.Msgs) + len(info.State.Subjects)
	if missing <= 0 {
		return ErrFull
	}
	left = missing/10 + 1
	return nil
}
