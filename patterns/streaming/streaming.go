package streaming

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an identity that cannot be one token of a subject.
	ErrID = errors.New("streaming: bad id")
	// ErrConfig reports a Config, Flow, Route or subject that makes no sense.
	ErrConfig = errors.New("streaming: bad config")
	// ErrMismatch reports a stream that exists with other settings.
	ErrMismatch = errors.New("streaming: exists with other settings; change Config or call Provision")
	// ErrTwice reports a second call of Run.
	ErrTwice = errors.New("streaming: Run may be called once; make a new one")
	// ErrFenced reports that another Processor of the same flow has taken over.
	ErrFenced = errors.New("streaming: another processor has taken over this flow")
	// ErrReplaced reports that the feed ends before the last event that is done with:
	// it was made anew. Delete the stream RESULTS_<flow> as well, to begin again.
	ErrReplaced = errors.New("streaming: the feed was made anew, its results were not")
	// ErrSkip is what Clean returns for an event that is of no interest.
	ErrSkip = errors.New("streaming: skip")
)

// Event is something that happened to what Key names: a sensor, an oven, an account.
type Event[In any] struct {
	ID    string    // of the event; if not empty, it is stored once when sent again within two minutes
	Key   string    // a token of the subject
	At    time.Time // when it happened, by the sender's clock; when it was stored, if zero
	Value In
}

// Result is what the events of one Key in one window, [From, To), add up to.
type Result[Out any] struct {
	Key   string    `json:"key"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Count int       `json:"count"` // of events
	Value Out       `json:"value"`
}

// Flow is what is done with events, one at a time and in the order in which they
// are stored.
//
//	Clean returns   nil           the event counts, as Clean has changed it
//	                wraps ErrSkip it is left out
//	                an error      it is refused: stored on refused.<flow>.<key>, with the reason
//	Add returns     nil           the new sum counts
//	                an error      the event is refused
//
// A panic is an error. An event may be given to both again after a crash, when the
// first time has had no effect.
type Flow[In, Out any] struct {
	Clean func(ctx context.Context, ev *Event[In]) error    // cleans, filters, enriches, changes the key; nil keeps events as they are
	Add   func(sum Out, ev Event[In]) (next Out, err error) // of one window, from the zero Out; must not change what sum refers to
}

// Config tunes Send and Processor. The zero Config is ready to use.
type Config struct {
	Window   time.Duration // length of a window; 1m if zero
	Lateness time.Duration // how much later than a younger event an event may be stored and still count; 10s if zero
	Idle     time.Duration // how often, while no event comes, the server's clock closes windows; 1s if zero
	Keep     time.Duration // of events and results; 7 days if zero. Longer than a processor, or a browser, may be away
	Log      *slog.Logger  // what nobody can be told otherwise; discarded if nil

	Replicas int                   // of the streams; 1 if zero
	Storage  jetstream.StorageType // of the streams; file if zero
	Bind     bool                  // never create, only use what exists
	Metadata map[string]string     // put on what NewProcessor creates
}

func (c Config) normal() (Config, error) {
	err := errors.Join(
		fill("Window", &c.Window, time.Minute, time.Millisecond), fill("Lateness", &c.Lateness, 10*time.Second, time.Millisecond),
		fill("Idle", &c.Idle, time.Second, 10*time.Millisecond), fill("Keep", &c.Keep, 7*24*time.Hour, time.Second),
		fill("Replicas", &c.Replicas, 1, 1),
	)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, err
}

func fill[T ~int | ~int64](field string, v *T, zero, least T) error {
	if *v == 0 {
		*v = zero
	}
	if *v < least {
		return fmt.Errorf("%w: %s is %v, less than %v", ErrConfig, field, *v, least)
	}
	return nil
}

const headerAt = "Event-Time"

// Send stores an event on feed.<flow>.<key>. An error leaves open whether it is
// stored: send it again, with the ID it had.
func Send[In any](ctx context.Context, js jetstream.JetStream, flow string, ev Event[In]) error {
	if err := errors.Join(checkID(flow), checkID(ev.Key)); err != nil {
		return err
	}
	msg := nats.NewMsg("feed." + flow + "." + ev.Key)
	if !ev.At.IsZero() {
		msg.Header.Set(headerAt, ev.At.UTC().Format(time.RFC3339Nano))
	}
	if ev.ID != "" {
		if err := checkID(ev.ID); err != nil {
			return err
		}
		msg.Header.Set(nats.MsgIdHdr, ev.ID)
	}
	var err error
	if msg.Data, err = json.Marshal(ev.Value); err == nil {
		if limit := js.Conn().MaxPayload(); int64(len(msg.Data)) > limit {
			err = fmt.Errorf("%w: %d bytes, the server takes %d; send a reference to the data", nats.ErrMaxPayload, len(msg.Data), limit)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		_, err = js.PublishMsg(ctx, msg)
	}
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		err = fmt.Errorf("%w: there is no flow; call Provision, or NewProcessor first", err)
	}
	if err != nil {
		return fmt.Errorf("streaming: send to %s: %w", flow, err)
	}
	return nil
}
