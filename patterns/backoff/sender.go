package backoff

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	reserved  = 2048           // bytes of a message for the headers that a failure adds
	maxHeader = math.MaxUint16 // bytes of all headers of a message, by the server
)

// Sender sends messages to a queue until it is full. It reads the state of the stream,
// and may then send a tenth of what is missing to MaxWaiting. So MaxWaiting holds for
// up to ten Senders together.
type Sender struct {
	cfg    Config
	queue  string
	js     jetstream.JetStream
	stream jetstream.Stream
	credit chan int // holds one value, and is a lock with a timeout
}

// NewSender finds or creates the queue. ctx bounds this call only.
func NewSender(ctx context.Context, js jetstream.JetStream, queue string, cfg Config) (*Sender, error) {
	cfg, err := cfg.normal(queue)
	if err != nil {
		return nil, err
	}
	stream, _, err := setup(ctx, js, queue, cfg)
	if err != nil {
		return nil, fmt.Errorf("backoff: sender of %s: %w", queue, err)
	}
	s := &Sender{cfg: cfg, queue: queue, js: js, stream: stream, credit: make(chan int, 1)}
	s.credit <- 0
	return s, nil
}

// Send stores msg under an ID. It does not use the Subject and the Nats-* and
// Backoff-* headers of msg. It returns nil if the message is stored, and [ErrFull] if it
// is not. After any other error the message may be stored: call Send again within two
// minutes, and it is stored once. Do not use the ID of a message that is not done.
func (s *Sender) Send(ctx context.Context, id string, msg *nats.Msg) error {
	if err := checkID(id); err != nil {
		return err
	}
	if err := s.send(ctx, id, msg); err != nil {
		return fmt.Errorf("backoff: send %s: %w", id, err)
	}
	return nil
}

func (s *Sender) send(ctx context.Context, id string, msg *nats.Msg) error {
	if msg == nil {
		return fmt.Errorf("%w: it is nil; use an empty Msg", nats.ErrInvalidMsg)
	}
	m := &nats.Msg{Subject: subject(s.queue, "do", id), Header: copyHeader(msg.Header, "Backoff-"), Data: msg.Data}
	size := m.Size()
	if over := reserved + max(size-int(s.js.Conn().MaxPayload()), size-len(m.Data)-maxHeader); over > 0 {
		return fmt.Errorf("%w: %d bytes, %d too many; send a reference to the data", nats.ErrMaxPayload, size, over)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := s.takeCredit(ctx); err != nil {
		return err
	}
	_, err := s.js.PublishMsg(ctx, m, jetstream.WithMsgID(id))
	return err
}

// takeCredit takes the credit for one message, or returns ErrFull.
func (s *Sender) takeCredit(ctx context.Context) error {
	var credit int
	select {
	case credit = <-s.credit:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.credit <- max(credit-1, 0) }()
	if credit > 0 {
		return nil
	}
	info, err := callAPI(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		return s.stream.Info(ctx, jetstream.WithSubjectFilter(subject(s.queue, "failed", "*"))) // a consumer's info can lag
	})
	if err != nil {
		return err
	}
	missing := s.cfg.MaxWaiting - int(info.State.Msgs) + len(info.State.Subjects)
	if limit := s.cfg.MaxBytes; limit > 0 {
		missing = min(missing, 1) // the next message is larger or smaller: read the bytes again
		if int64(info.State.Bytes) >= limit/2 {
			missing = 0 // the other half is for the copies that schedules and failures store
		}
	}
	if missing <= 0 {
		return ErrFull
	}
	credit = missing/10 + 1
	return nil
}
