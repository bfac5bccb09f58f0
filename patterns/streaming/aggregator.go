package streaming

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// window is what the events of one key in one window add up to so far.
type window[Out any] struct {
	Count int `json:"count"`
	Sum   Out `json:"sum"`
}

// position is how far a Processor has come. It is stored in the same commit as
// what it has made of the events up to there.
type position struct {
	Seq       uint64    `json:"seq"` // of the last event in the feed that is done with
	Watermark time.Time `json:"watermark"`
	Counts    Counts    `json:"counts"`
}

// Counts tells what has become of the events of a flow, from its beginning. Each is
// counted once.
type Counts struct {
	Added   uint64 `json:"added"`   // to a window
	Skipped uint64 `json:"skipped"` // by Clean
	Refused uint64 `json:"refused"` // late, undecodable, misdated, or by Clean or Add
	Missed  uint64 `json:"missed"`  // removed from the feed before they were read
}

// books is what a Processor knows: pure computation, which commit makes last.
type books[In, Out any] struct {
	name string
	flow Flow[In, Out]
	cfg  Config
	at   position
	open map[int64]map[string]window[Out] // by the start of the window in ns, and key

	out   []*nats.Msg       // results and refusals to be committed
	dirty map[string][]byte // windows to be committed, encoded, by subject; nil when closed
	size  int               // of the events in it, in bytes
	done  uint64            // the last event committed
	limit int               // of the data of a message, in bytes
}

const (
	batch = 400         // messages in a commit; the server takes 1,000
	ahead = time.Minute // that a sender's clock may be, of the server's
)

func (b *books[In, Out]) changed() bool { return len(b.out)+len(b.dirty) > 0 || b.at.Seq > b.done }

func (b *books[In, Out]) full() bool { return len(b.out)+len(b.dirty) >= batch || b.size >= 1<<20 }

// take does with an event of the feed what the flow says, and moves the watermark.
func (b *books[In, Out]) take(ctx context.Context, msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	seq := meta.Sequence.Stream
	if missed := seq - b.at.Seq - 1; missed > 0 {
		b.at.Counts.Missed += missed
		b.cfg.Log.Warn("streaming: events were removed from the feed before they were read", "flow", b.name, "from", b.at.Seq+1, "count", missed)
	}
	ev := Event[In]{Key: msg.Subject()[strings.LastIndexByte(msg.Subject(), '.')+1:], At: meta.Timestamp}
	err = b.add(ctx, msg, &ev, meta.Timestamp)
	if ctx.Err() != nil {
		return ctx.Err() // whatever Clean says now, it was told to stop
	}
	b.at.Seq, b.size = seq, b.size+len(msg.Data())
	switch {
	case err == nil:
		b.at.Counts.Added++
	case errors.Is(err, ErrSkip):
		b.at.Counts.Skipped++
	default:
		b.at.Counts.Refused++
		b.out = append(b.out, b.refusal(msg, ev.Key, err))
	}
	return nil
}

func (b *books[In, Out]) add(ctx context.Context, msg jetstream.Msg, ev *Event[In], stored time.Time) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	ev.ID = msg.Headers().Get(nats.MsgIdHdr)
	if at := msg.Headers().Get(headerAt); at != "" {
		if ev.At, err = time.Parse(time.RFC3339Nano, at); err != nil {
			return fmt.Errorf("%s: %w", headerAt, err)
		}
	}
	if err = json.Unmarshal(msg.Data(), &ev.Value); err != nil {
		return err
	}
	if b.flow.Clean != nil {
		if err = b.flow.Clean(ctx, ev); err != nil {
			return err
		}
	}
	if err = checkID(ev.Key); err != nil {
		return err
	}
	if early := ev.At.Sub(stored); early > ahead { // its window would stay open until then
		return fmt.Errorf("dated %v ahead of the server", early)
	}
	if ev.At.Unix() < 0 {
		return errors.New("dated before 1970")
	}
	from := ev.At.Truncate(b.cfg.Window)
	if late := b.at.Watermark.Sub(from.Add(b.cfg.Window)); late >= 0 {
		return fmt.Errorf("late: its window closed %v before", late)
	}
	w := b.open[from.UnixNano()][ev.Key] // zero, if it is the first
	w.Count++
	if w.Sum, err = b.flow.Add(w.Sum, *ev); err != nil {
		return err
	}
	data, err := json.Marshal(w) // now, when the event that spoils it can still be refused
	if err == nil && len(data) > b.limit {
		err = fmt.Errorf("its window would take %d bytes, and %d are possible", len(data), b.limit)
	}
	if err != nil {
		return err
	}
	b.keep(from.UnixNano(), ev.Key, w)
	b.dirty[b.subject(from.UnixNano(), ev.Key)] = data
	if ev.At.Before(stored) { // or one clock that is ahead would make all others late
		stored = ev.At
	}
	b.advance(stored)
	return nil
}

// advance moves the watermark, before which no event counts any more, to what is
// left of the time now.
func (b *books[In, Out]) advance(now time.Time) {
	if mark := now.Add(-b.cfg.Lateness).UTC(); mark.After(b.at.Watermark) {
		b.at.Watermark = mark
	}
}

func (b *books[In, Out]) keep(from int64, key string, w window[Out]) {
	if b.open[from] == nil {
		b.open[from] = map[string]window[Out]{}
	}
	b.open[from][key] = w
}

// due returns the start of the oldest window that the watermark has passed.
func (b *books[In, Out]) due() (from int64, ok bool) {
	if len(b.open) == 0 {
		return 0, false
	}
	from = slices.Min(slices.Collect(maps.Keys(b.open))) // few: as many as are in Lateness and ahead
	return from, b.at.Watermark.UnixNano() >= from+int64(b.cfg.Window)
}

// harvest makes results of due windows, until a commit is full.
func (b *books[In, Out]) harvest() error {
	for from, ok := b.due(); ok; from, ok = b.due() {
		for _, key := range slices.Sorted(maps.Keys(b.open[from])) {
			if b.full() {
				return nil
			}
			w, start := b.open[from][key], time.Unix(0, from).UTC()
			msg := nats.NewMsg("results." + b.name + "." + key)
			var err error
			msg.Data, err = json.Marshal(Result[Out]{Key: key, From: start, To: start.Add(b.cfg.Window), Count: w.Count, Value: w.Sum})
			if err != nil {
				return fmt.Errorf("result of %s: %w", key, err)
			}
			b.out = append(b.out, msg)
			b.dirty[b.subject(from, key)] = nil
			delete(b.open[from], key)
		}
		delete(b.open, from)
	}
	return nil
}

func (b *books[In, Out]) subject(from int64, key string) string {
	return fmt.Sprintf("state.%s.%s.%d", b.name, key, from)
}

// load takes up a stored window.
func (b *books[In, Out]) load(subject string, data []byte) error {
	token := strings.Split(subject, ".")
	if len(token) != 4 {
		return fmt.Errorf("%s is not a state of ours", subject)
	}
	from, err := strconv.ParseInt(token[3], 10, 64)
	if err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	if len(data) == 0 { // a tombstone
		delete(b.open[from], token[2])
		return nil
	}
	var w window[Out]
	if err = json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	b.keep(from, token[2], w)
	return nil
}
