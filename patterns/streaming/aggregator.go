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

const (
	maxCommit    = 400         // messages in a commit; the server accepts 1,000
	maxClockSkew = time.Minute // of a sender's clock ahead of the server's
	maxHeaders   = 60_000      // bytes of an event's headers in a copy; a stored message can have 64 KiB of headers
)

// window holds the aggregate of one key in an open window.
type window[Out any] struct {
	Count int `json:"count"`
	Sum   Out `json:"sum"`
}

type feedMsg struct {
	jetstream.Msg
	meta *jetstream.MsgMetadata
}

// aggregator is the state of a Processor in memory. It does no I/O.
type aggregator[In, Out any] struct {
	name string
	flow Flow[In, Out]
	cfg  Config
	at   position
	open map[int64]map[string]window[Out] // by the start of the window in ns, and key

	committed uint64            // sequence of the last event of the last commit
	out       []*nats.Msg       // results and refused events to commit
	changed   map[string][]byte // windows to commit, encoded, by subject; nil when closed
	size      int               // bytes of the events to commit
	limit     int               // bytes of a message without the headers of a commit
}

func (a *aggregator[In, Out]) isFull() bool {
	return len(a.out)+len(a.changed) >= maxCommit || a.size >= 1<<20
}

// process adds, skips or refuses the next event of the feed.
func (a *aggregator[In, Out]) process(ctx context.Context, msg feedMsg) error {
	if missed := msg.meta.Sequence.Stream - a.at.Seq - 1; missed > 0 {
		a.at.Counts.Missed += missed
		a.cfg.Log.Warn("streaming: events were removed from the feed before they were read; raise MaxAge",
			"flow", a.name, "from", a.at.Seq+1, "count", missed)
	}
	ev := Event[In]{ID: msg.Headers().Get(nats.MsgIdHdr), Key: lastToken(msg.Subject()), At: msg.meta.Timestamp}
	err := callHandler(ctx, a.cfg.Log, msg.Subject(), func(ctx context.Context, ev *Event[In]) error { return a.add(ctx, msg, ev) }, &ev)
	if ctx.Err() != nil {
		return ctx.Err() // an error of Clean may be a result of that
	}
	a.at.Seq = msg.meta.Sequence.Stream
	a.size += len(msg.Data())
	switch {
	case err == nil:
		a.at.Counts.Added++
	case errors.Is(err, ErrSkip):
		a.at.Counts.Skipped++
	default:
		a.at.Counts.Refused++
		a.refuse(msg, ev.Key, err)
	}
	return nil
}

// add adds an event to its window and moves the watermark, or changes nothing.
func (a *aggregator[In, Out]) add(ctx context.Context, msg feedMsg, ev *Event[In]) (err error) {
	if at := msg.Headers().Get(HeaderTime); at != "" {
		if ev.At, err = time.Parse(time.RFC3339Nano, at); err != nil {
			return fmt.Errorf("%s: %w", HeaderTime, err)
		}
	}
	if err := json.Unmarshal(msg.Data(), &ev.Value); err != nil {
		return err
	}
	if a.flow.Clean != nil {
		if err := a.flow.Clean(ctx, ev); err != nil {
			return err
		}
	}
	if err := a.check(ev, msg.meta.Timestamp); err != nil {
		return err
	}
	from := ev.At.Truncate(a.cfg.Window).UnixNano()
	w := a.open[from][ev.Key] // zero for its first event
	w.Count++
	if w.Sum, err = a.flow.Add(w.Sum, *ev); err != nil {
		return err
	}
	data, err := json.Marshal(w) // now, while the event can still be refused
	if err != nil {
		return err
	}
	if len(data) > a.limit {
		return fmt.Errorf("its window would have %d bytes; a message can have %d", len(data), a.limit)
	}
	a.setWindow(from, ev.Key, w)
	a.changed[a.windowSubject(from, ev.Key)] = data
	// A sender's clock that is ahead must not make the events of others late.
	a.advance(time.Unix(0, min(ev.At.UnixNano(), msg.meta.Timestamp.UnixNano())))
	return nil
}

// check refuses events that belong to no open window.
func (a *aggregator[In, Out]) check(ev *Event[In], stored time.Time) error {
	if err := checkID(ev.Key); err != nil {
		return err
	}
	if ahead := ev.At.Sub(stored); ahead > maxClockSkew { // its window would stay open until then
		return fmt.Errorf("dated %v ahead of the server", ahead)
	}
	if ev.At.Unix() < 0 {
		return errors.New("dated before 1970")
	}
	end := ev.At.Truncate(a.cfg.Window).Add(a.cfg.Window)
	if late := a.at.Watermark.Sub(end); late >= 0 {
		return fmt.Errorf("late: its window closed %v before", late)
	}
	return nil
}

// refuse copies an event to refused.<flow>.<key>. A copy that would be too large has
// neither the event's headers nor its data: they are in the feed.
func (a *aggregator[In, Out]) refuse(msg feedMsg, key string, reason error) {
	if checkID(key) != nil {
		key = "unknown"
	}
	m := &nats.Msg{Subject: "refused." + a.name + "." + key, Header: copyHeader(msg.Headers(), "Streaming-"), Data: msg.Data()}
	if size := m.Size(); size > a.limit || size-len(m.Data) > maxHeaders {
		m.Header, m.Data = nats.Header{HeaderTruncated: {"true"}}, nil
	}
	m.Header.Set(HeaderReason, errorText(reason))
	m.Header.Set(HeaderSubject, fmt.Sprintf("%.200s", msg.Subject()))
	m.Header.Set(HeaderSequence, strconv.FormatUint(msg.meta.Sequence.Stream, 10))
	a.out = append(a.out, m)
	a.size += m.Size()
}

// advance moves the watermark to Lateness before now, but never back.
func (a *aggregator[In, Out]) advance(now time.Time) {
	if mark := now.Add(-a.cfg.Lateness).UTC(); mark.After(a.at.Watermark) {
		a.at.Watermark = mark
	}
}

// closeWindows turns the windows that end before the watermark into results. It returns
// true if the commit was full before it had closed all of them.
func (a *aggregator[In, Out]) closeWindows() (more bool, err error) {
	for _, from := range slices.Sorted(maps.Keys(a.open)) { // few: those within Lateness and maxClockSkew
		start := time.Unix(0, from).UTC()
		end := start.Add(a.cfg.Window)
		if a.at.Watermark.Before(end) {
			return false, nil
		}
		for _, key := range slices.Sorted(maps.Keys(a.open[from])) {
			if a.isFull() {
				return true, nil
			}
			w := a.open[from][key]
			data, err := json.Marshal(Result[Out]{Key: key, From: start, To: end, Count: w.Count, Value: w.Sum})
			if err != nil {
				return false, fmt.Errorf("encode a result of %s: %w", key, err)
			}
			a.out = append(a.out, &nats.Msg{Subject: "results." + a.name + "." + key, Header: nats.Header{}, Data: data})
			a.changed[a.windowSubject(from, key)] = nil
			delete(a.open[from], key)
		}
		delete(a.open, from)
	}
	return false, nil
}

func (a *aggregator[In, Out]) setWindow(from int64, key string, w window[Out]) {
	if a.open[from] == nil {
		a.open[from] = map[string]window[Out]{}
	}
	a.open[from][key] = w
}

func (a *aggregator[In, Out]) windowSubject(from int64, key string) string {
	return "state." + a.name + "." + key + "." + strconv.FormatInt(from, 10)
}

// loadWindow restores a stored window.
func (a *aggregator[In, Out]) loadWindow(msg jetstream.Msg) error {
	tokens := strings.Split(msg.Subject(), ".") // of windowSubject
	from, err := strconv.ParseInt(tokens[len(tokens)-1], 10, 64)
	if err != nil || len(tokens) != 4 {
		return fmt.Errorf("%s is not the subject of a window", msg.Subject())
	}
	if len(msg.Data()) == 0 { // closed
		return nil
	}
	var w window[Out]
	if err := json.Unmarshal(msg.Data(), &w); err != nil {
		return fmt.Errorf("decode %s: %w", msg.Subject(), err)
	}
	a.setWindow(from, tokens[2], w)
	return nil
}
