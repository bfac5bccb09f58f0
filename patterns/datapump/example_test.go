package datapump_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	_ "modernc.org/sqlite"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
)

func Example() {
	nc, err := nats.Connect(natstest.URL()) // nats.DefaultURL, with a server of your own
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		log.Fatal(err)
	}

	// The service: only it knows that there is a SQLite, and what SQL is.
	db, err := sql.Open("sqlite", "file:example?mode=memory&cache=shared")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }() // in memory: nothing to lose
	ctx, stop := context.WithCancel(context.Background())
	if _, err := db.ExecContext(ctx, "CREATE TABLE books (isbn TEXT PRIMARY KEY, title TEXT, copies INTEGER)"); err != nil {
		log.Fatal(err)
	}
	store, err := datapump.SQLite(db, datapump.Schema{
		Tables: []datapump.Table{{Name: "books", Key: []string{"isbn"}, Columns: []datapump.Column{
			{Name: "isbn"}, {Name: "title"}, {Name: "copies", Type: datapump.Integer}}}},
		Statements: []datapump.Statement{{Name: "books", SQL: "SELECT isbn, title, copies FROM books ORDER BY isbn"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	pump, err := datapump.NewPump(ctx, js, "library", "sqlite", store, datapump.Config{})
	if err != nil {
		log.Fatal(err)
	}
	reader, err := datapump.NewReader(ctx, nc, "library", store, datapump.Config{})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- pump.Run(ctx) }()

	// A client: it knows names.
	type Book struct {
		ISBN   string `json:"isbn"`
		Title  string `json:"title"`
		Copies int    `json:"copies"`
	}
	for i, book := range []Book{{"0-1", "Emma", 1}, {"0-2", "Ulysses", 2}, {"0-1", "Emma", 3}} {
		if err := datapump.Write(ctx, js, "library", "books", fmt.Sprint("delivery-", i), book); err != nil {
			log.Fatal(err)
		}
	}
	for pump.State().Applied < 3 { // whoever writes need not wait
	}
	for book, err := range datapump.Query[Book](ctx, nc, "library", "books", nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d of %s\n", book.Copies, book.Title)
	}
	stop()
	fmt.Println("stopped:", <-done, reader.Run(ctx))
	// Output:
	// 3 of Emma
	// 2 of Ulysses
	// stopped: <nil> <nil>
}
