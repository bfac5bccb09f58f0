package sse

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// event is an encoded message with its sequence in the stream.
type event struct {
	seq  uint64
	text []byte
}

// encode returns an event as text/event-stream. Each line of data has a field of its
// own, for all three kinds of line break: otherwise data could forge fields and events.
func encode(seq uint64, data []byte) []byte {
	data = bytes.ReplaceAll(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	b := strconv.AppendUint([]byte("id: "), seq, 10)
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		b = append(append(b, "\ndata: "...), line...)
	}
	return append(b, "\n\n"...)
}

// eventWriter writes to a client, and fails if a write takes longer than timeout.
type eventWriter struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	timeout time.Duration
}

func (o *eventWriter) write(text []byte, flush bool) (err error) {
	if err := o.rc.SetWriteDeadline(time.Now().Add(o.timeout)); err != nil {
		return err
	}
	// Under HTTP/2 a deadline that passes between two writes would end the response too.
	defer func() { err = errors.Join(err, o.rc.SetWriteDeadline(time.Time{})) }()
	_, err = o.w.Write(text)
	if err == nil && flush {
		err = o.rc.Flush()
	}
	return err
}
