package wire

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

// Arrow is an Event described in words, as an arrow of a sequence diagram.
type Arrow struct {
	Event
	From, To string
	Text     string
}

// serverName is the name of the server in arrows and diagrams.
const serverName = "NATS"

// Describer describes events one after the other. It stores the request of each
// inbox, so that a reply is described as the reply to that request.
type Describer struct {
	requests map[string]string // by inbox: the description of the request
	pulled   map[string]bool   // consumers whose first pull was described; further pulls are left out
	names    map[string]string // consumers with generated names: the name in the description
}

// NewDescriber returns a Describer that has described no event yet.
func NewDescriber() *Describer {
	return &Describer{requests: map[string]string{}, pulled: map[string]bool{}, names: map[string]string{}}
}

// Describe returns the arrow of e, or false for housekeeping: requests for
// information, repeated pulls, idle heartbeats, and replies without content.
func (d *Describer) Describe(e Event) (Arrow, bool) {
	a := Arrow{Event: e, From: e.Client, To: serverName}
	if e.Op == Msg {
		a.From, a.To = serverName, e.Client
	}
	switch e.Op {
	case Sub:
		if !isInbox(e.Subject) && !strings.HasPrefix(e.Subject, "$") {
			a.Text = "subscribe " + e.Subject
			if e.Queue != "" {
				a.Text += " (queue " + e.Queue + ")"
			}
		}
	case Pub:
		a.Text = d.sent(e)
	case Msg:
		a.Text = d.delivered(e)
	case Blind:
		a.Text = "unreadable: " + e.Data
	}
	return a, a.Text != ""
}

func isInbox(subject string) bool { return strings.HasPrefix(subject, "_INBOX") }

// sent describes what a client sends to the server.
func (d *Describer) sent(e Event) string {
	token := strings.Split(e.Subject, ".")
	text := ""
	switch {
	case strings.HasPrefix(e.Subject, "$JS.ACK."):
		return ackText(e.Data) + ackOf(token)
	case strings.HasPrefix(e.Subject, "$JS.FC."):
		return ""
	case strings.HasPrefix(e.Subject, "$JS."):
		if i := strings.Index(e.Subject, ".API."); i > 0 {
			text = d.apiText(strings.Split(e.Subject[i+len(".API."):], "."), e.Data)
		}
	case strings.HasPrefix(e.Subject, "$KV.") && len(token) > 2:
		verb := map[string]string{"DEL": "delete", "PURGE": "purge"}[e.Header.Get("KV-Operation")]
		if verb == "" {
			verb = "put"
		}
		text = strings.TrimSpace(verb + " " + token[1] + "/" + strings.Join(token[2:], ".") + " " + body(e.Data))
	case isInbox(e.Subject):
		return strings.TrimSpace("reply" + errorText(e.Header) + " " + body(e.Data))
	default:
		text = strings.TrimSpace(e.Subject + " " + body(e.Data))
	}
	if isInbox(e.Reply) {
		d.requests[e.Reply] = text
	}
	return text + condition(e.Header)
}

// condition describes the headers that set conditions on storing a message.
func condition(h nats.Header) string {
	var parts []string
	for _, k := range []struct{ header, format string }{
		{"Nats-Msg-Id", "id %s"},
		{"Nats-Expected-Last-Subject-Sequence", "if last is %s"},
		{"Nats-Expected-Last-Sequence", "if stream is at %s"},
		{"Nats-TTL", "for %s"},
		{"Nats-Schedule", "schedule %s"},
		{"Nats-Batch-Sequence", "batch %s"},
		{"Nats-Batch-Commit", "commit"},
	} {
		if v := h.Get(k.header); v != "" {
			if strings.Contains(k.format, "%s") {
				parts = append(parts, fmt.Sprintf(k.format, v))
			} else {
				parts = append(parts, k.format)
			}
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " [" + strings.Join(parts, ", ") + "]"
}

// apiText describes a JetStream API request; it is empty if the request is left out.
func (d *Describer) apiText(f []string, data string) string {
	at := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		return ""
	}
	switch strings.Join(f[:min(2, len(f))], " ") {
	case "STREAM CREATE", "STREAM UPDATE", "STREAM DELETE", "STREAM PURGE":
		return strings.ToLower(f[1]) + " stream " + at(2)
	case "CONSUMER CREATE", "CONSUMER DURABLE":
		if f[1] == "DURABLE" || len(f) > 3 {
			return "create consumer " + d.consumer(at(3)) + " of " + at(2)
		}
		return "create consumer of " + at(2)
	case "CONSUMER DELETE", "CONSUMER PAUSE", "CONSUMER RESET", "CONSUMER UNPIN":
		return strings.ToLower(f[1]) + " consumer " + d.consumer(at(3)) + " of " + at(2)
	case "CONSUMER MSG": // CONSUMER.MSG.NEXT.<stream>.<consumer>
		name := at(3) + "." + at(4)
		if d.pulled[name] {
			return ""
		}
		d.pulled[name] = true
		return "pull from " + d.consumer(at(4)) + " of " + at(3)
	case "STREAM MSG": // STREAM.MSG.GET.<stream>
		return strings.ToLower(at(2)) + " a message of " + at(3)
	}
	if at(0) == "DIRECT" { // DIRECT.GET.<stream>[.<subject>]
		if len(f) > 3 {
			return "get last " + strings.Join(f[3:], ".") + " of " + at(2)
		}
		return "get from " + at(2)
	}
	return ""
}

var random = regexp.MustCompile(`^[A-Za-z0-9]{8}$|^[A-Za-z0-9]{22}(_\d+)?$`)

// consumer returns the name of a consumer. Generated names are replaced by numbers in
// order of appearance, so that two runs have the same description.
func (d *Describer) consumer(name string) string {
	if !random.MatchString(name) || strings.ToLower(name) == name {
		return name
	}
	if d.names[name] == "" {
		d.names[name] = fmt.Sprintf("consumer-%d", len(d.names)+1)
	}
	return d.names[name]
}

// delivered describes what the server delivers to a client.
func (d *Describer) delivered(e Event) string {
	if !isInbox(e.Subject) {
		text := strings.TrimSpace(e.Subject + " " + body(e.Data))
		if strings.HasPrefix(e.Reply, "$JS.ACK.") {
			if stream, seq, nth := ackTokens(strings.Split(e.Reply, ".")); stream != "" {
				text = fmt.Sprintf("%s %s: %s", stream, seq, text)
				if nth > 1 {
					text += fmt.Sprintf(" (delivery %d)", nth)
				}
			}
		}
		return text
	}
	switch status := e.Header.Get("Status"); status {
	case "":
	case "100", "204", "404", "408", "409": // idle heartbeat, end of batch, no messages, pull expired
		return ""
	case "503":
		return "no responders"
	default:
		return strings.TrimSpace(status + " " + e.Header.Get("Description"))
	}
	request := d.requests[e.Subject]
	if s := e.Header.Get("Nats-Subject"); s != "" { // a direct get
		return fmt.Sprintf("%s %s: %s %s", e.Header.Get("Nats-Stream"), e.Header.Get("Nats-Sequence"), s, body(e.Data))
	}
	var reply struct {
		Type      string
		Stream    string
		Seq       uint64
		Duplicate bool
		Error     *struct {
			Description string
			ErrCode     int `json:"err_code"`
		}
	}
	if json.Unmarshal([]byte(e.Data), &reply) == nil {
		switch {
		case reply.Error != nil && reply.Error.ErrCode > 0:
			return fmt.Sprintf("refused: %s (%d)", reply.Error.Description, reply.Error.ErrCode)
		case reply.Stream != "" && reply.Seq > 0 && reply.Duplicate:
			return fmt.Sprintf("already stored in %s as %d", reply.Stream, reply.Seq)
		case reply.Stream != "" && reply.Seq > 0:
			return fmt.Sprintf("stored in %s as %d", reply.Stream, reply.Seq)
		case strings.HasPrefix(reply.Type, "io.nats.jetstream.api."):
			return "" // success without content
		}
	}
	if request == "" && e.Data == "" && e.Header == nil {
		return ""
	}
	return strings.TrimSpace("reply" + errorText(e.Header) + " " + body(e.Data))
}

// errorText describes the error headers of the micro protocol.
func errorText(h nats.Header) string {
	if h.Get("Nats-Service-Error") == "" && h.Get("Nats-Service-Error-Code") == "" {
		return ""
	}
	return strings.TrimRight(fmt.Sprintf(" error %s %s", h.Get("Nats-Service-Error-Code"), h.Get("Nats-Service-Error")), " ")
}

func ackText(data string) string {
	op, arg, _ := strings.Cut(data, " ")
	switch op {
	case "-NAK":
		var nak struct{ Delay time.Duration }
		if json.Unmarshal([]byte(arg), &nak) == nil && nak.Delay > 0 {
			return "nak " + nak.Delay.String()
		}
		return "nak"
	case "+WPI":
		return "in progress"
	case "+TERM":
		if arg != "" {
			return "term (" + arg + ")"
		}
		return "term"
	case "+NXT":
		return "ack and next"
	}
	return "ack"
}

// ackOf returns the stream and sequence of the message that an ack subject refers to.
func ackOf(token []string) string {
	stream, seq, _ := ackTokens(token)
	return strings.TrimRight(" "+stream+" "+seq, " ")
}

// ackTokens parses $JS.ACK.<stream>.<consumer>.<delivery>.<sequence>… or its
// longer form $JS.ACK.<domain>.<account>.<stream>.….
func ackTokens(token []string) (stream, seq string, delivery int) {
	switch {
	case len(token) == 9:
		token = token[2:]
	case len(token) > 10:
		token = token[4:]
	default:
		return "", "", 0
	}
	delivery, err := strconv.Atoi(token[2])
	if err != nil {
		return "", "", 0
	}
	return token[0], token[3], delivery
}

// body shortens a payload to fit on an arrow.
func body(data string) string {
	const most = 40
	for _, r := range data {
		if r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\t' {
			return fmt.Sprintf("(%d bytes)", len(data))
		}
	}
	data = strings.Join(strings.Fields(data), " ")
	if utf8.RuneCountInString(data) > most {
		data = string([]rune(data)[:most]) + "…"
	}
	return data
}
