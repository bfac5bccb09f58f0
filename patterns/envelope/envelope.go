package envelope

import (
	"cmp"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
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

// wire is an envelope as it travels: all its attributes are strings.
type wire struct {
	Envelope
	specversion, time string
}

type attribute struct {
	header string
	value  *string
}

const (
	prefix   = "ce-"
	version  = "1.0"
	required = 4 // the first of the attributes
)

func (w *wire) attributes() [11]attribute {
	return [11]attribute{
		{"ce-specversion", &w.specversion}, {"ce-id", &w.ID}, {"ce-source", &w.Source}, {"ce-type", &w.Type},
		{"ce-time", &w.time}, {"ce-subject", &w.Subject}, {"ce-datacontenttype", &w.ContentType},
		{"ce-correlationid", &w.Correlation}, {"ce-causationid", &w.Causation},
		{"ce-traceparent", &w.TraceParent}, {"ce-tracestate", &w.TraceState},
	}
}

func (w *wire) check() error {
	for i, a := range w.attributes() {
		switch v := *a.value; {
		case v == "" && i < required:
			return bad(a.header, "is missing")
		case len(v) > MaxAttribute:
			return bad(a.header, "has %d bytes; %d at most", len(v), MaxAttribute)
		case !plain(v) && (!utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl) || strings.TrimSpace(v) == ""):
			return bad(a.header, "%.80q is no text of printable characters", v)
		}
	}
	if w.specversion != version {
		return bad("ce-specversion", "is %.20q, not %s", w.specversion, version)
	}
	if _, err := url.Parse(w.Source); err != nil {
		return bad("ce-source", "%.80q is no URI reference, as /shop is", w.Source)
	}
	if t := w.ContentType; t != "" && t != "application/json" {
		if _, _, err := mime.ParseMediaType(t); err != nil {
			return bad("ce-datacontenttype", "%.80q is no media type, as application/json is", t)
		}
	}
	return nil
}
