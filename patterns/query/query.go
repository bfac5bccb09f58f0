package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

var (
	// ErrID reports an ID that cannot be one token of a subject.
	ErrID = errors.New("query: bad ID")
	// ErrConfig reports a bad Config field, Statement or argument.
	ErrConfig = errors.New("query: bad config")
	// ErrPayload reports args that do not encode, or rows that do not decode.
	ErrPayload = errors.New("query: bad payload")
	// ErrAlreadyRun reports a second call of Run.
	ErrAlreadyRun = errors.New("query: Run was already called")
	// ErrNoReader reports that no Reader is subscribed.
	ErrNoReader = errors.New("query: no reader is subscribed")
	// ErrIncomplete reports a result of which messages were lost. Query again.
	ErrIncomplete = errors.New("query: the result is incomplete")
)

// Error is the reply of a Reader that refuses or fails, with a code as in HTTP: 400 bad
// arguments, 404 no such statement, 408 the client took no chunk for IdleTimeout, 429
// too many queries at once, 500 the source failed, 503 the reader is stopping.
type Error struct {
	Code string
	Text string
}

func (e *Error) Error() string { return "query: " + e.Code + ": " + e.Text }

// A result is a series of numbered chunks. Each is a JSON array of rows. The client
// replies to a chunk to request another one. A message without HeaderChunk shows that
// the reader is alive.
const (
	HeaderChunk = "Query-Chunk" // number of the chunk, from 0
	HeaderRows  = "Query-Rows"  // in the last chunk: number of rows of the result
)

const (
	chunkSize    = 64 << 10
	beatInterval = time.Second      // of messages from a reader
	silence      = 5 * beatInterval // after this time without a message, the result is incomplete
	cancelled    = "cancel"         // the reply of a client that wants no more chunks
)

// Rows queries a statement with args, a value that encodes to a JSON object (nil for
// none), and yields the rows of the result, each decoded into a T. If it ends without
// an error, the result is complete. The error is an *[Error] if the reader refused or
// failed. A break from the loop cancels the query.
func Rows[T any](ctx context.Context, nc *nats.Conn, name, statement string, args any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		r, err := request(ctx, nc, name, statement, args)
		if err != nil {
			yield(none, err)
			return
		}
		defer r.close()
		for !r.complete {
			rows, err := next[T](ctx, r)
			if err != nil {
				yield(none, err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
			if err := r.requestMore(len(rows)); err != nil {
				yield(none, err)
				return
			}
		}
	}
}

// result is the client's side of a result.
type result struct {
	nc           *nats.Conn
	subject      string
	sub          *nats.Subscription
	more         string // the subject that requests another chunk; empty after the last
	chunks, rows int    // that were received
	total        string // rows of the whole result, if the last chunk was received
	complete     bool
}

func request(ctx context.Context, nc *nats.Conn, name, statement string, args any) (*result, error) {
	if err := errors.Join(checkID(name), checkID(statement)); err != nil {
		return nil, err
	}
	if args == nil {
		args = struct{}{}
	}
	data, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("%w: %T: %w", ErrPayload, args, err)
	}
	r := &result{nc: nc, subject: name + ".query." + statement}
	if r.sub, err = nc.SubscribeSync(nc.NewInbox()); err != nil {
		return nil, r.wrap(err)
	}
	if err := errors.Join(ctx.Err(), nc.PublishRequest(r.subject, r.sub.Subject, data)); err != nil {
		r.close()
		return nil, r.wrap(err)
	}
	return r, nil
}

func (r *result) wrap(err error) error { return fmt.Errorf("query: %s: %w", r.subject, err) }

// next returns the rows of the next chunk.
func next[T any](ctx context.Context, r *result) (rows []T, err error) {
	for {
		msg, err := r.nextMsg(ctx)
		if err != nil {
			return nil, err
		}
		r.more, r.total = msg.Reply, msg.Header.Get(HeaderRows)
		number := msg.Header.Get(HeaderChunk)
		switch {
		case number == "": // the reader is alive
			continue
		case number != strconv.Itoa(r.chunks):
			return nil, fmt.Errorf("%w: received chunk %s, want %d", ErrIncomplete, number, r.chunks)
		case len(msg.Data) > 0:
			err = json.Unmarshal(msg.Data, &rows)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: rows into %T: %w", ErrPayload, rows, err)
		}
		r.chunks++
		return rows, nil
	}
}

func (r *result) nextMsg(ctx context.Context) (*nats.Msg, error) {
	wait, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	msg, err := r.sub.NextMsgWithContext(wait)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		r.more = ""
		return nil, fmt.Errorf("%w to %s; start one", ErrNoReader, r.subject)
	case err != nil && ctx.Err() == nil && wait.Err() != nil:
		return nil, fmt.Errorf("%w: no message for %v", ErrIncomplete, silence)
	case err != nil:
		return nil, r.wrap(err)
	}
	if code := msg.Header.Get(micro.ErrorCodeHeader); code != "" {
		r.more = ""
		return nil, &Error{code, msg.Header.Get(micro.ErrorHeader)}
	}
	return msg, nil
}

// requestMore requests another chunk, or checks that the result is complete.
func (r *result) requestMore(rows int) error {
	r.rows += rows
	if r.total == "" {
		if err := r.nc.Publish(r.more, nil); err != nil {
			return r.wrap(err)
		}
		return nil
	}
	r.complete = true
	if r.total != strconv.Itoa(r.rows) {
		return fmt.Errorf("%w: received %d rows of %s", ErrIncomplete, r.rows, r.total)
	}
	return nil
}

// close cancels the query unless the result is complete. If that message is lost, the
// next message of the reader finds no subscription.
func (r *result) close() {
	_ = r.sub.Unsubscribe() // fails only if the connection is closed
	if r.more != "" {
		_ = r.nc.Publish(r.more, []byte(cancelled)) // the same
	}
}
