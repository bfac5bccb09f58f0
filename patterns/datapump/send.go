package datapump

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// chunk is some rows, the last ones, or why there are no more.
type chunk struct {
	data []byte
	rows int
	err  error
	end  bool
}

// read takes rows from the store no faster than chunks are taken.
func (r *Reader) read(ctx context.Context, st Statement, args []any, chunks chan<- *chunk) {
	defer close(chunks)
	put := func(c *chunk) bool {
		if c.rows > 0 {
			c.data = append(c.data, ']')
		}
		select {
		case chunks <- c:
			return true
		case <-ctx.Done():
			return false
		}
	}
	c := &chunk{}
	for row, err := range r.store.Query(ctx, st, args) {
		if err == nil && fits(r.nc, len(row)) != nil {
			err = &Error{"500", fmt.Sprintf("a row of %d bytes does not fit into a message", len(row))}
		}
		if err != nil {
			put(&chunk{err: err})
			return
		}
		if c.rows > 0 && (len(c.data)+len(row) > chunkSize || fits(r.nc, len(c.data)+len(row)+2) != nil) {
			if !put(c) {
				return
			}
			c = &chunk{}
		}
		sep := byte(',')
		if c.rows == 0 {
			sep = '['
		}
		c.data, c.rows = append(append(c.data, sep), row...), c.rows+1
	}
	c.end = true
	put(c)
}

// send sends chunks as the client has room for them, until the end, or until the
// client is gone: the server answers for it then.
func (r *Reader) send(to, reply string, chunks <-chan *chunk, credits <-chan *nats.Msg) {
	credit, n, rows, heard := r.cfg.Window, 0, 0, time.Now()
	alive := time.NewTicker(beat)
	defer alive.Stop()
	for {
		ready := chunks
		if credit == 0 {
			ready = nil
		}
		msg := &nats.Msg{Subject: to, Reply: reply, Header: nats.Header{}}
		select {
		case c, ok := <-ready:
			switch {
			case !ok || c.err != nil && r.ctx.Err() != nil:
				r.fail(to, &Error{"503", "the reader is stopping"})
				return
			case c.err != nil:
				r.fail(to, c.err)
				return
			}
			msg.Header.Set(chunkHeader, strconv.Itoa(n))
			msg.Data = c.data
			n, rows, credit = n+1, rows+c.rows, credit-1
			if c.end {
				msg.Reply = ""
				msg.Header.Set(endHeader, strconv.Itoa(rows))
			}
			if credit == 0 {
				heard = time.Now()
			}
			if r.nc.PublishMsg(msg) != nil || c.end {
				return
			}
		case m := <-credits:
			if m.Header.Get("Status") != "" || string(m.Data) == stop { // nobody is there, or wants more
				return
			}
			credit, heard = min(credit+1, r.cfg.Window), time.Now()
		case <-alive.C:
			if credit == 0 && time.Since(heard) > r.cfg.Patience {
				r.fail(to, &Error{"408", fmt.Sprintf("no chunk was taken for %v", r.cfg.Patience)})
				return
			}
			if r.nc.PublishMsg(msg) != nil {
				return
			}
		case <-r.ctx.Done():
			r.fail(to, &Error{"503", "the reader is stopping"})
			return
		}
	}
}
