package envelope

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Write writes e to the headers of msg: the binary mode of CloudEvents for NATS. It
// removes the headers of another envelope, and Content-Type. It also writes the trace
// context as traceparent and tracestate, where other tools read it, and sets Nats-Msg-Id
// to the source and the ID: a stream stores the message once within its duplicate window.
func Write(msg *nats.Msg, e Envelope) error {
	w := encoded{Envelope: e, specversion: version}
	if !e.Time.IsZero() {
		w.time = e.Time.UTC().Format(time.RFC3339Nano)
		if y := e.Time.UTC().Year(); y < 0 || y > 9999 {
			return badAttribute("ce-time", "%s is not a time of RFC 3339", w.time)
		}
	}
	if err := w.check(); err != nil {
		return err
	}
	w.traceparent, w.tracestate = encode(e.TraceParent), e.TraceState
	for name := range msg.Header {
		if isOurs(name) {
			delete(msg.Header, name)
		}
	}
	if msg.Header == nil {
		msg.Header = make(nats.Header, 8)
	}
	values := make([]string, 0, 8) // one allocation for most envelopes
	set := func(name, value string) {
		values = append(values, value)
		n := len(values)
		msg.Header[name] = values[n-1 : n : n]
	}
	for i, v := range w.fields() {
		if i < firstNotAttr && !w.plain[i] {
			*v = encode(*v)
		}
		if *v != "" {
			set(names[i], *v)
		}
	}
	set(jetstream.MsgIDHeader, w.Source+" "+w.ID)
	return nil
}

// Read returns the envelope of a message and its payload. It reads the headers or, in
// structured mode, the JSON body. Header names are read in any case, and unknown
// attributes are ignored. It returns [ErrNoEnvelope] or [ErrEnvelope].
func Read(header nats.Header, body []byte) (Envelope, []byte, error) {
	var w encoded
	binary, err := w.readHeader(header)
	if err != nil {
		return Envelope{}, nil, err
	}
	data := body
	switch structured := isStructured(w.contentType); {
	case w.specversion != "" && structured:
		return Envelope{}, nil, badAttribute("content-type", "means structured mode, and ce-specversion means binary mode")
	case w.specversion == "" && binary:
		return Envelope{}, nil, badAttribute("ce-specversion", "is missing")
	case w.specversion == "":
		if data, err = w.readBody(body, structured); err != nil {
			return Envelope{}, nil, err
		}
	case w.ContentType == "":
		w.ContentType = w.contentType // as the Go SDK does
	}
	if w.time != "" {
		if w.Time, err = time.Parse(time.RFC3339Nano, w.time); err != nil {
			return Envelope{}, nil, badAttribute("ce-time", "%.80q is not a time of RFC 3339", w.time)
		}
		w.Time = w.Time.UTC()
	}
	// The context in which the message was produced counts, then the context of its
	// transport. A bad one of these is not a reason to refuse the message.
	if w.TraceParent == "" && w.traceparent != "" && isPlain(w.traceparent) && isText(w.tracestate) && max(len(w.traceparent), len(w.tracestate)) <= maxAttribute {
		w.TraceParent, w.TraceState = w.traceparent, w.tracestate
	}
	if err := w.check(); err != nil {
		return Envelope{}, nil, err
	}
	return w.Envelope, data, nil
}

// readHeader reads the headers, and reports whether one of them is an attribute.
func (w *encoded) readHeader(header nats.Header) (binary bool, err error) {
	fields := w.fields()
	for name, values := range header {
		i, lower := nameIndex(name), name
		if i < 0 && !strings.HasPrefix(name, "Nats-") { // most headers are ours, or the server's
			lower = strings.ToLower(name)
			i = nameIndex(lower)
		}
		switch {
		case i < 0 || len(values) == 0:
		case i >= firstNotAttr: // the first value counts, and a name in lower case first
			if v := fields[i]; *v == "" || lower == name {
				*v = values[0]
			}
		case len(values) > 1 || *fields[i] != "":
			return true, badAttribute(lower, "occurs more than once")
		default:
			binary = true
			if w.plain[i] = isPlain(values[0]); w.plain[i] {
				*fields[i] = values[0]
			} else {
				*fields[i] = decode(values[0])
			}
			if *fields[i] == "" {
				return true, badAttribute(lower, "is empty")
			}
		}
	}
	return binary, nil
}

// nameIndex returns the index of a header in names, or -1. Most headers of an envelope
// begin with the prefix, and most others do not need a comparison.
func nameIndex(lower string) int {
	if strings.HasPrefix(lower, prefix) {
		return slices.Index(names[:firstNotAttr], lower)
	}
	if i := slices.Index(names[firstNotAttr:], lower); i >= 0 {
		return firstNotAttr + i
	}
	return -1
}

// isOurs reports whether a header is part of an envelope, for Read or for the SDK.
func isOurs(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, prefix) || slices.Contains(names[firstNotAttr:], name)
}

func isStructured(contentType string) bool {
	return len(contentType) > 0 && strings.HasPrefix(strings.ToLower(contentType), "application/cloudevents")
}

// isPlain reports whether s needs no encoding in a header.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '%' || c == '"' {
			return false
		}
	}
	return true
}

// isText reports whether s can be an attribute, encoded if it is not plain.
func isText(s string) bool {
	return isPlain(s) || utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) && strings.TrimSpace(s) != ""
}

const hex = "0123456789ABCDEF"

// encode percent-encodes s where the CloudEvents binding asks for it.
func encode(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; isPlain(s[i : i+1]) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

var escaped = regexp.MustCompile(`\\(.)`)

// decode decodes what encode and other producers write: quotes, percent-encoding that
// is not needed, or none.
func decode(s string) string {
	if n := len(s); n >= 2 && s[0] == '"' && s[n-1] == '"' {
		s = escaped.ReplaceAllString(s[1:n-1], "$1")
	}
	if t, err := url.PathUnescape(s); err == nil {
		return t
	}
	return s
}
