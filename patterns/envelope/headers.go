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

// Write puts e on msg, as headers: the binary mode of CloudEvents over NATS. What was
// there of another envelope goes, and so does Content-Type, which e says too. The
// trace context is also written as traceparent and tracestate, which is where others
// look for it; and Nats-Msg-Id is the source and the id, so that a stream stores the
// message once, within its window, however often it is sent.
func Write(msg *nats.Msg, e Envelope) error {
	w := wire{Envelope: e, specversion: version}
	if !e.Time.IsZero() {
		w.time = e.Time.UTC().Format(time.RFC3339Nano)
		if y := e.Time.UTC().Year(); y < 0 || y > 9999 {
			return bad("ce-time", "%s is not of RFC 3339", w.time)
		}
	}
	if err := w.check(); err != nil {
		return err
	}
	w.traceparent, w.tracestate = encode(e.TraceParent), e.TraceState
	for name := range msg.Header {
		if ours(name) {
			delete(msg.Header, name)
		}
	}
	if msg.Header == nil {
		msg.Header = nats.Header{}
	}
	all := make([]string, 0, 8)
	set := func(name, value string) { // and few allocations
		all = append(all, value)
		n := len(all)
		msg.Header[name] = all[n-1 : n : n]
	}
	for i, v := range w.values() {
		if *v != "" && i < carriage {
			set(names[i], encode(*v))
		} else if *v != "" {
			set(names[i], *v)
		}
	}
	set(jetstream.MsgIDHeader, encode(e.Source)+" "+encode(e.ID))
	return nil
}

// Read returns the envelope of a message and what is in it: from headers, or from the
// body of one in structured mode, which is JSON. Names of headers are read in any
// case; attributes that an Envelope does not have are left alone. It returns
// [ErrNone] if there is no envelope, and [ErrEnvelope] if there is a bad one.
func Read(header nats.Header, body []byte) (Envelope, []byte, error) {
	var w wire
	fields, some := w.values(), false
	for name, values := range header {
		low := strings.ToLower(name)
		i := slices.Index(names[:], low)
		switch {
		case i < 0 || len(values) == 0:
		case i >= carriage: // the first will do, of the name in lower case if there are more
			if v := fields[i]; *v == "" || low == name {
				*v = values[0]
			}
		case len(values) > 1 || *fields[i] != "":
			return Envelope{}, nil, bad(low, "is there more than once")
		default:
			if *fields[i], some = decode(values[0]), true; *fields[i] == "" {
				return Envelope{}, nil, bad(low, "is empty")
			}
		}
	}
	data, err := body, error(nil)
	switch structured := isEvent(w.contentType); {
	case w.specversion != "" && structured:
		return Envelope{}, nil, bad("content-type", "says structured mode, and ce-specversion says binary")
	case w.specversion == "" && some:
		return Envelope{}, nil, bad("ce-specversion", "is missing")
	case w.specversion == "":
		if data, err = w.open(body, structured); err != nil {
			return Envelope{}, nil, err
		}
	case w.ContentType == "":
		w.ContentType = w.contentType // where the Go SDK looks too
	}
	if w.time != "" {
		if w.Time, err = time.Parse(time.RFC3339Nano, w.time); err != nil {
			return Envelope{}, nil, bad("ce-time", "%.80q is not of RFC 3339", w.time)
		}
		w.Time = w.Time.UTC()
	}
	// Where it was made counts; without that, what carried it here. Nonsense there is
	// no reason to refuse a message.
	if w.TraceParent == "" && w.traceparent != "" && plain(w.traceparent) && text(w.tracestate) && max(len(w.traceparent), len(w.tracestate)) <= MaxAttribute {
		w.TraceParent, w.TraceState = w.traceparent, w.tracestate
	}
	if err := w.check(); err != nil {
		return Envelope{}, nil, err
	}
	return w.Envelope, data, nil
}

// ours reports whether a header is part of an envelope, as Read and the SDK see it.
func ours(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, prefix) || slices.Contains(names[carriage:], name)
}

func isEvent(contentType string) bool {
	return strings.HasPrefix(strings.ToLower(contentType), "application/cloudevents")
}

// plain reports whether s stands for itself in a header, as most do.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '%' || c == '"' {
			return false
		}
	}
	return true
}

// text reports whether s is what an attribute may be.
func text(s string) bool {
	return plain(s) || utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) && strings.TrimSpace(s) != ""
}

const hex = "0123456789ABCDEF"

func encode(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; plain(s[i : i+1]) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

var escaped = regexp.MustCompile(`\\(.)`)

// decode undoes encode, and what others do: quotes, needless percents, none at all.
func decode(s string) string {
	if plain(s) {
		return s
	}
	if n := len(s); n >= 2 && s[0] == '"' && s[n-1] == '"' {
		s = escaped.ReplaceAllString(s[1:n-1], "$1")
	}
	if t, err := url.PathUnescape(s); err == nil {
		return t
	}
	return s
}
