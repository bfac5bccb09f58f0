package streaming

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// encode writes an event as a browser reads it. A line break inside data, of any of
// the three kinds, must not end the field, or data could forge fields and events.
func encode(seq uint64, data []byte) []byte {
	data = bytes.ReplaceAll(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	b := strconv.AppendUint([]byte("id: "), seq, 10)
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		b = append(append(b, "\ndata: "...), line...)
	}
	return append(b, "\n\n"...)
}

// outlet writes to a browser, which has some time to take it.
type outlet struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	patience time.Duration
}

func (o *outlet) send(text []byte, flush bool) (err error) {
	if err := o.rc.SetWriteDeadline(time.Now().Add(o.patience)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.rc.SetWriteDeadline(time.Time{})) }() // under HTTP/2 it would cut also who has taken all
	_, err = o.w.Write(text)
	if err == nil && flush {
		err = o.rc.Flush()
	}
	return err
}

func lastID(r *http.Request) (after uint64, known bool, err error) {
	id := r.Header.Get("Last-Event-ID")
	if id == "" {
		return 0, false, nil
	}
	if after, err = strconv.ParseUint(id, 10, 64); err != nil {
		err = fmt.Errorf("Last-Event-ID %.40q is none of ours; leave it out", id)
	}
	return after, true, err
}

func accepts(values []string) bool {
	for accept := range strings.SplitSeq(strings.Join(values, ","), ",") {
		kind, params, err := mime.ParseMediaType(accept)
		if q, bad := strconv.ParseFloat(params["q"], 64); err == nil && (bad != nil || q > 0) && slices.Contains([]string{"text/event-stream", "text/*", "*/*"}, kind) {
			return true
		}
	}
	return len(values) == 0
}
