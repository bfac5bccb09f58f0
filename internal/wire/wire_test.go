package wire

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

const protocol = "CONNECT {}\r\nPING\r\nSUB a q 1\r\nUNSUB 1 5\r\nPUB a 2\r\nhi\r\nPUB b _INBOX.x 0\r\n\r\n" +
	"HPUB c 17 20\r\nNATS/1.0\r\nK:v\r\n\r\nyes\r\nPUB a 4\r\n\r\n\r\n\r\nMSG a 1 2\r\nho\r\nMSG a 1 r 2\r\nhu\r\n" +
	"HMSG _INBOX.x 2 28 28\r\nNATS/1.0 404 No Messages\r\n\r\n\r\n+OK\r\n-ERR 'x'\r\nPONG\r\n"

func parse(chunks ...string) []Event {
	var events []Event
	p := parser{emit: func(e Event) { events = append(events, e) }}
	for _, c := range chunks {
		p.feed([]byte(c))
	}
	return events
}

// The parser returns the same frames for chunks of any size.
func TestParserSplit(t *testing.T) {
	want := []Event{
		{Op: Sub, Subject: "a", Queue: "q", Sid: "1"},
		{Op: Unsub, Sid: "1"},
		{Op: Pub, Subject: "a", Data: "hi"},
		{Op: Pub, Subject: "b", Reply: "_INBOX.x"},
		{Op: Pub, Subject: "c", Header: nats.Header{"K": {"v"}}, Data: "yes"},
		{Op: Pub, Subject: "a", Data: "\r\n\r\n"},
		{Op: Msg, Subject: "a", Sid: "1", Data: "ho"},
		{Op: Msg, Subject: "a", Sid: "1", Reply: "r", Data: "hu"},
		{Op: Msg, Subject: "_INBOX.x", Sid: "2", Header: nats.Header{"Status": {"404"}, "Description": {"No Messages"}}},
	}
	for step := 1; step <= len(protocol); step++ {
		var chunks []string
		for i := 0; i < len(protocol); i += step {
			chunks = append(chunks, protocol[i:min(i+step, len(protocol))])
		}
		require.Equal(t, want, parse(chunks...), "in steps of %d", step)
	}
}

// The parser reports bytes that are not the protocol once, then stops; it never panics.
func TestParserBlind(t *testing.T) {
	for _, bad := range []string{
		"HPUB\r\n", "HPUB a\r\n", "HPUB a 5\r\n", "PUB a -1\r\n", "PUB a x\r\n", "PUB\r\n", "MSG a 1\r\n", "PUB a b c 1\r\nx\r\n",
		"HPUB a 30 20\r\n12345678901234567890\r\n", "HPUB a -3 2\r\nhi\r\n", "PUB a 99999999999\r\n", "PUB a 2\r\nhixx",
		"HPUB a 4 4\r\nwhat\r\n", "SUB\r\n", "SUB a b c d\r\n", "UNSUB\r\n", "\x16\x03\x01\x02\x00", strings.Repeat("a", maxLine),
	} {
		events := parse("PING\r\n", bad, "PUB a 2\r\nhi\r\n")
		require.Len(t, events, 1, "%.40q", bad)
		require.Equal(t, Blind, events[0].Op)
	}
}

// No frame panics the parser, the description or the diagram.
func FuzzParser(f *testing.F) {
	f.Add([]byte(protocol), uint8(7))
	for _, frame := range []string{
		"HPUB a 4 4\r\nwhat\r\n", "HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n", "SUB $JS.ACK.> 1\r\n",
		"PUB $JS.ACK.JOBS.crew.2.7.9.17.0 4\r\n-NAK\r\n", "PUB $JS.ACK._.hash.JOBS.crew.2.7.9.17.0.tok 4\r\n+WPI\r\n", "PUB $JS.ACK. 0\r\n\r\n",
		"MSG j.1 1 $JS.ACK._.hash.JOBS.crew.x.7.9.17.0.tok 2\r\ndo\r\n", "PUB $JS.FC.JOBS.crew.1 0\r\n\r\n", "PUB $JS.API. 0\r\n\r\n",
		"PUB $JS.API.CONSUMER.MSG.NEXT 0\r\n\r\n", "PUB $JS.hub.API.DIRECT 2\r\n{}\r\n", "PUB $KV.. 0\r\n\r\n", "PUB . . 0\r\n\r\n",
		`MSG _INBOX.x 1 13` + "\r\n" + `{"error":nul}` + "\r\n",
	} {
		f.Add([]byte(frame), uint8(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		at := min(int(cut), len(b))
		split, whole := parse(string(b[:at]), string(b[at:])), parse(string(b))
		require.Equal(t, whole, split)
		Mermaid(time.Now(), 0, 0, whole, true, nil)
	})
}

// Each frame is described in words.
func TestDescribe(t *testing.T) {
	const in = "_INBOX.abc"
	ack := "$JS.ACK.JOBS.crew.2.7.9.1700000000000000000.0"
	for _, tc := range []struct {
		want   string
		events []Event // the last one is described
	}{
		{"orders.new hello", []Event{{Op: Pub, Subject: "orders.new", Data: "hello"}}},
		{"subscribe orders.> (queue crew)", []Event{{Op: Sub, Subject: "orders.>", Queue: "crew"}}},
		{"", []Event{{Op: Sub, Subject: "_INBOX.x.*"}}},
		{"", []Event{{Op: Sub, Subject: "$SRV.PING"}}},
		{"stored in JOBS as 3", []Event{{Op: Pub, Subject: "j", Reply: in}, {Op: Msg, Subject: in, Data: `{"stream":"JOBS","seq":3}`}}},
		{"already stored in JOBS as 3", []Event{{Op: Msg, Subject: in, Data: `{"stream":"JOBS","seq":3,"duplicate":true}`}}},
		{"refused: wrong last sequence: 4 (10071)", []Event{{Op: Msg, Subject: in, Data: `{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 4"}}`}}},
		{"j [id 7, if last is 0]", []Event{{Op: Pub, Subject: "j", Header: nats.Header{"Nats-Msg-Id": {"7"}, "Nats-Expected-Last-Subject-Sequence": {"0"}}}}},
		{"JOBS 7: j.1 do (delivery 2)", []Event{{Op: Msg, Subject: "j.1", Reply: ack, Data: "do"}}},
		{"JOBS 7: j.1 do", []Event{{Op: Msg, Subject: "j.1", Reply: "$JS.ACK.hub.acchash.JOBS.crew.1.7.9.1700000000000000000.0.tok", Data: "do"}}},
		{"ack JOBS 7", []Event{{Op: Pub, Subject: ack, Data: "+ACK"}}},
		{"nak 2s JOBS 7", []Event{{Op: Pub, Subject: ack, Data: `-NAK {"delay": 2000000000}`}}},
		{"nak JOBS 7", []Event{{Op: Pub, Subject: ack, Data: "-NAK"}}},
		{"in progress JOBS 7", []Event{{Op: Pub, Subject: ack, Data: "+WPI"}}},
		{"term (no such sku) JOBS 7", []Event{{Op: Pub, Subject: ack, Data: "+TERM no such sku"}}},
		{"create stream JOBS", []Event{{Op: Pub, Subject: "$JS.API.STREAM.CREATE.JOBS", Data: "{}"}}},
		{"create stream JOBS", []Event{{Op: Pub, Subject: "$JS.hub.API.STREAM.CREATE.JOBS", Data: "{}"}}},
		{"create consumer crew of JOBS", []Event{{Op: Pub, Subject: "$JS.API.CONSUMER.CREATE.JOBS.crew", Data: "{}"}}},
		{"create consumer consumer-1 of JOBS", []Event{{Op: Pub, Subject: "$JS.API.CONSUMER.CREATE.JOBS.Gh3kLm9Q", Data: "{}"}}},
		{"pull from crew of JOBS", []Event{{Op: Pub, Subject: "$JS.API.CONSUMER.MSG.NEXT.JOBS.crew"}}},
		{"", []Event{{Op: Pub, Subject: "$JS.API.CONSUMER.MSG.NEXT.JOBS.crew"}, {Op: Pub, Subject: "$JS.API.CONSUMER.MSG.NEXT.JOBS.crew"}}},
		{"", []Event{{Op: Pub, Subject: "$JS.API.STREAM.INFO.JOBS"}}},
		{"", []Event{{Op: Msg, Subject: in, Data: `{"type":"io.nats.jetstream.api.v1.stream_create_response"}`}}},
		{"", []Event{{Op: Msg, Subject: in, Header: nats.Header{"Status": {"100"}}}}},
		{"no responders", []Event{{Op: Msg, Subject: in, Header: nats.Header{"Status": {"503"}}}}},
		{"put stock/apples 7 [if last is 2]", []Event{{Op: Pub, Subject: "$KV.stock.apples", Data: "7", Header: nats.Header{"Nats-Expected-Last-Subject-Sequence": {"2"}}}}},
		{"delete stock/apples", []Event{{Op: Pub, Subject: "$KV.stock.apples", Header: nats.Header{"KV-Operation": {"DEL"}}}}},
		{"reply 42", []Event{{Op: Pub, Subject: in, Data: "42"}}},
		{"reply error 404 no such order", []Event{{Op: Msg, Subject: in, Header: nats.Header{"Nats-Service-Error": {"no such order"}, "Nats-Service-Error-Code": {"404"}}}}},
		{"ORDERS 4: o.1 x", []Event{{Op: Msg, Subject: in, Data: "x", Header: nats.Header{"Nats-Stream": {"ORDERS"}, "Nats-Sequence": {"4"}, "Nats-Subject": {"o.1"}}}}},
		{"a (3 bytes)", []Event{{Op: Pub, Subject: "a", Data: "\x00\x01\x02"}}},
	} {
		describer := NewDescriber()
		var a Arrow
		for _, e := range tc.events {
			a, _ = describer.Describe(e)
		}
		require.Equal(t, tc.want, a.Text)
	}
}

// Two runs that differ only in the order within one instant have the same diagram,
// and no effect is drawn before its cause.
func TestMermaidOrder(t *testing.T) {
	start := time.Now()
	pubA := Event{At: start, Client: "zoe", Conn: 1, Op: Pub, Subject: "a", Data: "1"}
	pubB := Event{At: start, Client: "zoe", Conn: 1, Op: Pub, Subject: "A", Data: "2"}
	toBob := Event{At: start.Add(time.Millisecond), Client: "bob", Conn: 2, Op: Msg, Subject: "a", Sid: "1", Data: "1"}
	toAnn := Event{At: start.Add(time.Millisecond), Client: "ann", Conn: 3, Op: Msg, Subject: "a", Sid: "1", Data: "1"}
	reply := Event{At: start.Add(2 * time.Millisecond), Client: "ann", Conn: 3, Op: Pub, Subject: "thanks"}
	one, n := Mermaid(start, 0, 0, []Event{pubA, pubB, toBob, toAnn, reply}, true, nil)
	two, _ := Mermaid(start, 0, 0, []Event{pubA, toAnn, reply, toBob, pubB}, true, nil)
	require.Equal(t, one, two)
	require.Equal(t, 5, n)
	_, n = Mermaid(start, 0, 0, []Event{pubA, pubB, toBob}, true, func(a Arrow) bool { return a.Op == Msg })
	require.Equal(t, 1, n)
	require.Equal(t, `sequenceDiagram
  participant zoe
  participant ann
  participant bob
  participant NATS
  zoe->>NATS: 0s a 1
  NATS->>ann: 0s a 1
  ann->>NATS: 0s thanks
  NATS->>bob: 0s a 1
  zoe->>NATS: 0s A 2
`, one)
}

// Mermaid parses "create" at the start of a line as a command.
func TestMermaidNames(t *testing.T) {
	start := time.Now()
	text, n := Mermaid(start, 0, 0, []Event{{At: start, Client: "create-invoice", Op: Pub, Subject: "invoices.made"}}, true, nil)
	require.Equal(t, 1, n)
	require.Contains(t, text, "participant create_invoice as create-invoice\n")
	require.Contains(t, text, "  create_invoice->>NATS: ")
}
