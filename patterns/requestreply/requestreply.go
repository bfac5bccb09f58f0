package requestreply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/natsext"
)

var (
	// ErrID reports a name or subject token that the package does not accept.
	ErrID = errors.New("requestreply: bad ID")
	// ErrConfig reports a bad Config field or argument.
	ErrConfig = errors.New("requestreply: bad config")
	// ErrAlreadyRun reports that Run was called again.
	ErrAlreadyRun = errors.New("requestreply: Run was already called")
	// ErrNoResponders reports that no client subscribes to the subject.
	ErrNoResponders = errors.New("requestreply: no responders")
	// ErrCaptured reports that a stream stores the requests of the subject, and
	// that its ack arrived as the reply.
	ErrCaptured = errors.New("requestreply: a stream captures the subject")
	// ErrTooLarge reports a request or reply that exceeds max_payload of the server.
	ErrTooLarge = errors.New("requestreply: message too large")
	// ErrPayload reports a request that cannot be encoded, or a reply that cannot be
	// decoded.
	ErrPayload = errors.New("requestreply: bad payload")
)

// Error is an error reply. A service chooses its codes. The codes of this package
// follow HTTP: 400 the request cannot be decoded, 500 the handler failed, 503 the
// responder is stopping.
type Error struct {
	Code string
	Text string
}

func (e *Error) Error() string { return e.Code + ": " + e.Text }

// defaultTimeout is the timeout of a request whose ctx has no deadline.
const defaultTimeout = 5 * time.Second

// HeaderTimeout is the time that the requester waits. It is a duration, not a time:
// the clocks of requester and responder can differ.
const HeaderTimeout = "Request-Timeout"

// Request publishes req and returns the reply. Without a deadline in ctx it waits at
// most 5 s.
func Request[Req, Resp any](ctx context.Context, nc *nats.Conn, subject string, req Req) (Resp, error) {
	var none Resp
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	msg, err := encode(ctx, subject, req)
	if err != nil {
		return none, err
	}
	reply, err := nc.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return none, requestError(subject, err)
	}
	return decode[Resp](reply)
}

// Many tunes [All]. The zero Many is ready to use.
type Many struct {
	Max   int           // replies after which All ends; no limit if zero
	Stall time.Duration // All ends if no further reply arrives for this long; 300 ms if zero
}

// All publishes req and yields the replies in the order of arrival; an error reply is
// yielded as an error. It ends after many.Max replies, when no reply arrives for
// many.Stall, or with ctx. Without a subscriber it yields [ErrNoResponders]. Without a
// deadline in ctx it waits at most 5 s.
func All[Req, Resp any](ctx context.Context, nc *nats.Conn, subject string, req Req, many Many) iter.Seq2[Resp, error] {
	return func(yield func(Resp, error) bool) {
		var none Resp
		ctx, cancel := withDeadline(ctx)
		defer cancel()
		replies, err := requestMany(ctx, nc, subject, req, many)
		if err != nil {
			yield(none, err)
			return
		}
		received := false
		for reply, err := range replies {
			if received && errors.Is(err, context.DeadlineExceeded) {
				return
			}
			if err != nil {
				yield(none, requestError(subject, err))
				return
			}
			received = true
			if !yield(decode[Resp](reply)) {
				return
			}
		}
	}
}

func requestMany(ctx context.Context, nc *nats.Conn, subject string, req any, many Many) (iter.Seq2[*nats.Msg, error], error) {
	many.Stall = cmp.Or(many.Stall, 300*time.Millisecond)
	if many.Max < 0 || many.Stall < 0 {
		return nil, fmt.Errorf("%w: Max is %d, Stall is %v; use at least 0", ErrConfig, many.Max, many.Stall)
	}
	msg, err := encode(ctx, subject, req)
	if err != nil {
		return nil, err
	}
	opts := []natsext.RequestManyOpt{natsext.RequestManyStall(many.Stall)}
	if many.Max > 0 {
		opts = append(opts, natsext.RequestManyMaxMessages(many.Max))
	}
	replies, err := natsext.RequestManyMsg(ctx, nc, msg, opts...)
	if err != nil {
		return nil, requestError(subject, err)
	}
	return replies, nil
}

func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, defaultTimeout)
}

func requestError(subject string, err error) error {
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("%w: subject %s; start a responder", ErrNoResponders, subject)
	}
	if errors.Is(err, nats.ErrMaxPayload) {
		return fmt.Errorf("%w: subject %s; send a reference to the data", ErrTooLarge, subject)
	}
	return fmt.Errorf("requestreply: request to %s: %w", subject, err)
}
