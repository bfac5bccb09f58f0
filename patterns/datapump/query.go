package datapump

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

var (
	// ErrNobody reports that no Reader listens.
	ErrNobody = errors.New("datapump: nobody answers there")
	// ErrIncomplete reports a result of which a part was lost on the way. Ask again.
	ErrIncomplete = errors.New("datapump: the result is incomplete")
)

// silence is how long a reader may say nothing; alive, it does every second.
const silence = 5 * beat

// Query asks a statement by its name, with args, anything that encodes to a JSON
// object (nil for none), and yields the rows. The error after which it ends is an
// *[Error] when the reader refuses or fails; without one, the result was complete.
// Rows that are not taken wait in the store: no more than Config.Window chunks of
// 64 KiB are ever on the way.
func Query[T any](ctx context.Context, nc *nats.Conn, name, statement string, args any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		r := &result{nc: nc}
		err := r.callAPI(ctx, name, statement, args)
		defer r.close()
		for err == nil && !r.ended {
			var data []byte
			if data, err = r.next(ctx); err != nil {
				break
			}
			var rows []T
			if len(data) > 0 {
				err = json.Unmarshal(data, &rows)
			}
			if err != nil {
				err = fmt.Errorf("%w: rows into %T: %w", ErrPayload, rows, err)
				break
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
			err = r.took(len(rows))
		}
		if err != nil {
			var none T
			yield(none, edge(err, "query "+name+"."+statement))
		}
	}
}

// result is the client's end of a result.
type result struct {
	nc           *nats.Conn
	sub          *nats.Subscription
	credit       string // where the reader is told that a chunk was taken
	chunks, rows int
	end          string // how many rows there are, once that is known
	ended        bool
}

func (r *result) callAPI(ctx context.Context, name, statement string, args any) error {
	if err := errors.Join(checkID(name), checkID(statement), ctx.Err()); err != nil {
		return err
	}
	if args == nil {
		args = struct{}{}
	}
	data, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("%w: %T: %w", ErrPayload, args, err)
	}
	if err := fits(r.nc, len(data)); err != nil {
		return err
	}
	if r.sub, err = r.nc.SubscribeSync(r.nc.NewInbox()); err != nil {
		return err
	}
	return r.nc.PublishRequest(name+".query."+statement, r.sub.Subject, data)
}

// close tells the reader at once if no more is wanted. If that is lost, the reader
// finds out when it next sends something.
func (r *result) close() {
	if r.sub == nil {
		return
	}
	_ = r.sub.Unsubscribe() // fails only if the connection is closed, as does what follows
	if !r.ended && r.credit != "" {
		_ = r.nc.Publish(r.credit, []byte(stop))
	}
}

// took allows the reader another chunk, or finds the result complete.
func (r *result) took(rows int) error {
	if r.rows += rows; r.end == "" {
		return r.nc.Publish(r.credit, nil)
	}
	r.ended = true
	if r.end != strconv.Itoa(r.rows) {
		return fmt.Errorf("%w: %d rows of %s came", ErrIncomplete, r.rows, r.end)
	}
	return nil
}

// next returns the next chunk.
func (r *result) next(ctx context.Context) ([]byte, error) {
	for {
		try, cancel := context.WithTimeout(ctx, silence)
		msg, err := r.sub.NextMsgWithContext(try)
		cancel()
		h := nats.Header{}
		if err == nil {
			h = msg.Header
		}
		switch {
		case errors.Is(err, nats.ErrNoResponders) || h.Get("Status") == "503":
			r.ended = true
			return nil, fmt.Errorf("%w: %s", ErrNobody, "start a Reader of that name")
		case err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			return nil, fmt.Errorf("%w: the reader has been silent for %v", ErrIncomplete, silence)
		case err != nil:
			return nil, err
		case h.Get(micro.ErrorCodeHeader) != "":
			r.ended = true
			return nil, &Error{h.Get(micro.ErrorCodeHeader), h.Get(micro.ErrorHeader)}
		}
		r.credit = msg.Reply
		switch h.Get(chunkHeader) {
		case "": // the reader is alive
		case strconv.Itoa(r.chunks):
			r.chunks++
			r.end = h.Get(endHeader)
			return msg.Data, nil
		default:
			return nil, fmt.Errorf("%w: chunk %d was lost, %s came", ErrIncomplete, r.chunks, h.Get(chunkHeader))
		}
	}
}
