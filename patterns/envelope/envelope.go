package envelope

import (
	"cmp"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strings"
	"time"
)

var (
	// ErrEnvelope reports an envelope that cannot be; the text names the attribute.
	ErrEnvelope = errors.New("envelope: bad envelope")
	// ErrNone reports a message that has no envelope. Wrap gives it one.
	ErrNone = errors.New("envelope: the message has none")
	// ErrHandler reports a nil Handler.
	ErrHandler = errors.New("envelope: the handler is nil")
)

// MaxAttribute is how long an attribute may be, in bytes.
const MaxAttribute = 1024

// Envelope is what all services understand of a message, whatever it carries. Its
// attributes are those of CloudEvents 1.0 and of its extensions for correlation and
// distributed tracing.
type Envelope struct {
	ID          string    // required; with Source, the same for no other message, and for each try of this one
	Source      string    // required: who says it, a URI reference: /shop
	Type        string    // required: what it says: order.placed
	Time        time.Time // when it happened, by the source's clock; not written if zero
	Subject     string    // what it is about: order-17
	ContentType string    // of the payload: application/json
	Correlation string    // which conversation it belongs to
	Causation   string    // the ID of the message it is a consequence of; none if empty
	TraceParent string    // W3C trace context of its making; a Tracer fills it
	TraceState  string
}

// New makes the envelope of a message that begins a conversation, which is named
// after it. A retry is the same message: keep its id.
func New(source, typ, id string) Envelope {
	return Envelope{ID: id, Source: source, Type: typ, Time: time.Now().Round(0), Correlation: id}
}

// Next makes the envelope of a consequence of e: of the same conversation, caused by
// e. Have the id follow from the cause's, as e.ID+".paid" does: then a handler that
// is run again makes the same message, not another.
func (e Envelope) Next(source, typ, id string) Envelope {
	next := New(source, typ, id)
	next.Correlation, next.Causation = cmp.Or(e.Correlation, e.ID), e.ID
	return next
}

func bad(header, format string, args ...any) error {
	return fmt.Errorf("%w: %s %s", ErrEnvelope, strings.TrimPrefix(header, prefix), fmt.Sprintf(format, args...))
}

// wire is an envelope as it travels: its attributes are strings, and what carries it
// has some headers that tell as much.
type wire struct {
	Envelope
	specversion, time                    string
	contentType, traceparent, tracestate string
}

const (
	prefix   = "ce-"
	version  = "1.0"
	required = 4  // the first of names are
	carriage = 11 // from there on names are of the carriage, not of attributes
)

var names = [14]string{
	"ce-specversion", "ce-id", "ce-source", "ce-type",
	"ce-time", "ce-subject", "ce-datacontenttype", "ce-correlationid", "ce-causationid", "ce-traceparent", "ce-tracestate",
	"content-type", "traceparent", "tracestate",
}

func (w *wire) values() [len(names)]*string {
	return [...]*string{
		&w.specversion, &w.ID, &w.Source, &w.Type,
		&w.time, &w.Subject, &w.ContentType, &w.Correlation, &w.Causation, &w.TraceParent, &w.TraceState,
		&w.contentType, &w.traceparent, &w.tracestate,
	}
}

func (w *wire) check() error {
	values := w.values()
	for i, name := range names[:carriage] {
		switch v := *values[i]; {
		case v == "" && i < required:
			return bad(name, "is missing")
		case len(v) > MaxAttribute:
			return bad(name, "has %d bytes; %d at most", len(v), MaxAttribute)
		case !text(v):
			return bad(name, "%.80q is no text of printable characters", v)
		}
	}
	if w.specversion != version {
		return bad("ce-specversion", "is %.20q, not %s", w.specversion, version)
	}
	if len(w.Source) < 2 || w.Source[0] != '/' || w.Source[1] == '/' || strings.Contains(w.Source, "%") { // most are a path
		if _, err := url.Parse(w.Source); err != nil {
			return bad("ce-source", "%.80q is no URI reference, as /shop is", w.Source)
		}
	}
	if t := w.ContentType; t != "" && t != "application/json" {
		if _, _, err := mime.ParseMediaType(t); err != nil {
			return bad("ce-datacontenttype", "%.80q is no media type, as application/json is", t)
		}
	}
	return nil
}
