package wire

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

const (
	maxLine    = 1 << 20  // the longest protocol line of a server is its INFO, a few KiB
	maxPayload = 64 << 20 // the largest max_payload a server can be given
)

var errFrame = errors.New("not the NATS protocol (over TLS, only ciphertext is visible)")

// parser parses one direction of a connection, in chunks of any size. It is not
// safe for concurrent use.
type parser struct {
	emit  func(Event)
	buf   []byte
	blind bool
}

func (p *parser) feed(b []byte) {
	if p.blind {
		return
	}
	p.buf = append(p.buf, b...)
	for len(p.buf) > 0 {
		e, n, err := frame(p.buf)
		if err != nil {
			p.blind, p.buf = true, nil
			p.emit(Event{Op: Blind, Data: err.Error()})
			return
		}
		if n == 0 {
			return // the rest has yet to arrive
		}
		if e.Op != "" {
			p.emit(e)
		}
		p.buf = p.buf[n:]
	}
	p.buf = nil
}

// frame reads the first frame of b and its length, or 0 if it is not all there.
// Frames that are not recorded (INFO, PING, +OK…) have no Op.
func frame(b []byte) (Event, int, error) {
	line, _, ok := bytes.Cut(b[:min(len(b), maxLine)], []byte("\r\n"))
	if !ok {
		if len(b) >= maxLine || !plausible(b) {
			return Event{}, 0, errFrame
		}
		return Event{}, 0, nil
	}
	n := len(line) + 2
	if n == 2 {
		return Event{}, n, nil // an empty line, which a server accepts too
	}
	if !plausible(line) {
		return Event{}, 0, errFrame
	}
	f := strings.Fields(string(line))
	if len(f) == 0 {
		return Event{}, 0, errFrame
	}
	op, f := strings.ToUpper(f[0]), f[1:]
	switch op {
	case "SUB": // subject [queue] sid
		if len(f) == 2 {
			return Event{Op: Sub, Subject: f[0], Sid: f[1]}, n, nil
		} else if len(f) == 3 {
			return Event{Op: Sub, Subject: f[0], Queue: f[1], Sid: f[2]}, n, nil
		}
		return Event{}, 0, errFrame
	case "UNSUB": // sid [max]
		if len(f) == 0 {
			return Event{}, 0, errFrame
		}
		return Event{Op: Unsub, Sid: f[0]}, n, nil
	case "PUB", "HPUB", "MSG", "HMSG":
		return message(op, f, b, n)
	}
	return Event{}, n, nil
}

// message reads a frame with a payload: fields f of its line, which ends at n of b.
func message(op string, f []string, b []byte, n int) (Event, int, error) {
	e := Event{Op: Pub}
	sizes := 1
	if op[0] == 'H' {
		sizes = 2
	}
	if len(f) < sizes+1 {
		return e, 0, errFrame
	}
	names, nums := f[:len(f)-sizes], f[len(f)-sizes:]
	if strings.HasSuffix(op, "MSG") { // subject sid [reply]
		if len(names) < 2 {
			return e, 0, errFrame
		}
		e.Op, e.Sid = Msg, names[1]
		names = append(names[:1:1], names[2:]...)
	}
	if len(names) > 2 { // subject [reply]
		return e, 0, errFrame
	}
	e.Subject = names[0]
	if len(names) == 2 {
		e.Reply = names[1]
	}
	head, ok := 0, true
	if sizes == 2 {
		head, ok = size(nums[0])
	}
	total, ok2 := size(nums[len(nums)-1])
	if !ok || !ok2 || head > total {
		return e, 0, errFrame
	}
	if len(b) < n+total+2 {
		return e, 0, nil
	}
	if string(b[n+total:n+total+2]) != "\r\n" {
		return e, 0, errFrame
	}
	if head > 0 {
		h, err := nats.DecodeHeadersMsg(b[n : n+head])
		if err != nil {
			return e, 0, errFrame
		}
		e.Header = h
	}
	e.Data = string(b[n+head : n+total])
	return e, n + total + 2, nil
}

// size parses a number of bytes, which has digits only.
func size(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return int(n), err == nil && n <= maxPayload
}

// plausible reports whether b may be the beginning of a protocol line: an
// operation is letters, or + or -, and a TLS record is neither.
func plausible(b []byte) bool {
	c := b[0] | 0x20
	return 'a' <= c && c <= 'z' || b[0] == '+' || b[0] == '-' || b[0] == '\r'
}
