package outbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an identity that cannot be one token of a subject.
	ErrID = errors.New("outbox: bad id")
	// ErrConfig reports a Config that makes no sense; the text names the field.
	ErrConfig = errors.New("outbox: bad config")
	// ErrMessage reports a message that cannot be published.
	ErrMessage = errors.New("outbox: bad message")
	// ErrTwice reports that Run was called again.
	ErrTwice = errors.New("outbox: Run was called twice; make a new Relay")
)

// The tables, for your migrations. Nothing here creates them.
const (
	SQLite = `
CREATE TABLE IF NOT EXISTS outbox (
	id INTEGER PRIMARY KEY AUTOINCREMENT, lane TEXT NOT NULL, msg_id TEXT NOT NULL UNIQUE,
	subject TEXT NOT NULL, header TEXT NOT NULL, payload BLOB NOT NULL, sent BIGINT);
CREATE INDEX IF NOT EXISTS outbox_unsent ON outbox (id) WHERE sent IS NULL;
CREATE INDEX IF NOT EXISTS outbox_sent ON outbox (sent) WHERE sent IS NOT NULL;
CREATE TABLE IF NOT EXISTS inbox (
	reader TEXT NOT NULL, msg_id TEXT NOT NULL, taken BIGINT NOT NULL, PRIMARY KEY (reader, msg_id));
CREATE INDEX IF NOT EXISTS inbox_taken ON inbox (taken);`
	Postgres = `
CREATE TABLE IF NOT EXISTS outbox (
	id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lane TEXT NOT NULL, msg_id TEXT NOT NULL UNIQUE,
	subject TEXT NOT NULL, header TEXT NOT NULL, payload BYTEA NOT NULL, sent BIGINT);
CREATE INDEX IF NOT EXISTS outbox_unsent ON outbox (id) WHERE sent IS NULL;
CREATE INDEX IF NOT EXISTS outbox_sent ON outbox (sent) WHERE sent IS NOT NULL;
CREATE TABLE IF NOT EXISTS inbox (
	reader TEXT NOT NULL, msg_id TEXT NOT NULL, taken BIGINT NOT NULL, PRIMARY KEY (reader, msg_id));
CREATE INDEX IF NOT EXISTS inbox_taken ON inbox (taken);`
)

// Put writes msg into the outbox in tx: it is published once tx is committed, or never.
// Messages with one key are published in the order in which they were put, if their
// transactions were one after the other; the empty key stands for no order. Put takes
// over no part of msg. Its Nats-Msg-Id is kept, or made up.
func Put(ctx context.Context, tx *sql.Tx, key string, msg *nats.Msg) error {
	if msg == nil || msg.Subject == "" || strings.ContainsAny(msg.Subject, " \t\r\n*>\x00") ||
		strings.HasPrefix(msg.Subject, ".") || strings.HasSuffix(msg.Subject, ".") || strings.Contains(msg.Subject, "..") {
		subject := ""
		if msg != nil {
			subject = msg.Subject
		}
		return fmt.Errorf("%w: one cannot publish on subject %.80q", ErrMessage, subject)
	}
	id := msg.Header.Get(jetstream.MsgIDHeader)
	if id == "" {
		id = rand.Text()
	}
	if strings.ContainsRune(key+id, 0) {
		return fmt.Errorf("%w: key %.80q and message id %.80q may have no NUL", ErrMessage, key, id)
	}
	text := key + id + msg.Subject
	for k, v := range msg.Header {
		text += k + strings.Join(v, "")
	}
	if !utf8.ValidString(text) {
		return fmt.Errorf("%w: %.80q has a key, an id, a subject or a header that is not UTF-8; put such bytes into the body", ErrMessage, msg.Subject)
	}
	header, err := json.Marshal(msg.Header)
	if err == nil {
		_, err = tx.ExecContext(ctx, `INSERT INTO outbox (lane, msg_id, subject, header, payload) VALUES ($1, $2, $3, $4, $5)`,
			key, id, msg.Subject, string(header), append([]byte{}, msg.Data...))
	}
	if err != nil {
		return fmt.Errorf("outbox: put %s: %w", msg.Subject, err)
	}
	return nil
}

// Wake tells the relay called name that there is something to publish. Call it after
// the commit; if it gets lost, the relay finds the message when it polls.
func Wake(nc *nats.Conn, name string) error {
	if err := checkID(name); err != nil {
		return err
	}
	if err := nc.Publish(wakes(name), nil); err != nil {
		return fmt.Errorf("outbox: wake %s: %w", name, err)
	}
	return nil
}

func wakes(name string) string { return "outbox." + name + ".wake" }
