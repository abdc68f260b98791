package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"syscall"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/relay/admin"
	"github.com/sealgate/sealgate/storage"
)

// question is one that the running gateway answers on admin.socket.
type question struct {
	method, path string
	query        url.Values
	body         []byte
}

// ask puts a question to the running gateway, or, where none runs, to the store. The answer is JSON; false
// means that there is none, for nothing has changed.
func ask(ctx context.Context, config configs.Config, q question, into any) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, cmp.Or(q.method, http.MethodGet), "http://sealgate"+q.path+"?"+q.query.Encode(), bytes.NewReader(q.body))
	if err != nil {
		return false, err
	}
	resp, err := toGateway(config, req)
	if errors.Is(err, errNotRunning) {
		return askStore(config, req, into)
	}
	if err != nil {
		return false, err
	}
	defer resp.Body.Close() //nolint:errcheck // it is only read
	return answered(resp.StatusCode, resp.Body, into)
}

// errNotRunning means that nobody answers at admin.socket.
var errNotRunning = errors.New("the gateway is not running")

// toGateway has the running gateway answer req on admin.socket, however long that takes.
func toGateway(config configs.Config, req *http.Request) (*http.Response, error) {
	client := http.Client{Transport: newChecker(config).socket.Transport}
	resp, err := client.Do(req)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, errNotRunning
	}
	if err != nil {
		return nil, unanswered(err)
	}
	resp.Body = answerBody{resp.Body}
	return resp, nil
}

// answerBody says of an answer that ends too early who broke it off.
type answerBody struct{ io.ReadCloser }

// Read implements io.Reader.
func (b answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errBrokeOff, err)
	}
	return n, err
}

var errBrokeOff = errors.New("the gateway broke off, look into its log")

// unanswered is why the running gateway gives no answer. The question's address, which is nobody's, is left out.
func unanswered(err error) error {
	if question := (*url.Error)(nil); errors.As(err, &question) {
		err = question.Err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("%w: %w", errBrokeOff, err)
	}
	return fmt.Errorf("ask the gateway (admin.socket): %w", err)
}

// answered reads an answer of the gateway's.
func answered(status int, body io.Reader, into any) (bool, error) {
	if status == http.StatusNoContent {
		return false, nil
	}
	if status == http.StatusOK {
		return true, json.NewDecoder(body).Decode(into)
	}
	return false, refused(status, body)
}

// refused is what the gateway says instead of doing it.
func refused(status int, body io.Reader) error {
	var refusal admin.Refusal
	if err := json.NewDecoder(io.LimitReader(body, 1<<20)).Decode(&refusal); err != nil || refusal.Error == "" {
		return fmt.Errorf("the running gateway answers %d: is it of another version?", status)
	}
	return errors.New(refusal.Error)
}

// askStore answers as the gateway would, from the store at rest.
func askStore(config configs.Config, req *http.Request, into any) (found bool, err error) {
	err = atRest(config, func(s *storage.Store) error {
		book, err := policy.OpenBook(req.Context(), bookOptions(config, s))
		if err != nil {
			return err
		}
		w := &answerBuffer{header: http.Header{}, status: http.StatusOK}
		in := inbox.New(inbox.Options{Store: s})
		in.OnSever(audit(book))
		keys, err := openKeys(config, s, in, nil)
		if err != nil {
			return err
		}
		in.OnRelease(keys.ConsumeKept)
		if err := in.LoadSevered(req.Context()); err != nil {
			return err
		}
		admin.New(admin.Options{Policy: book, Door: doorkeeper{s, in}}).Commands().ServeHTTP(w, req)
		found, err = answered(w.status, &w.body, into)
		return err
	})
	return found, err
}

// answerBuffer is an answer that goes nowhere.
type answerBuffer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *answerBuffer) Header() http.Header         { return w.header }
func (w *answerBuffer) WriteHeader(status int)      { w.status = status }
func (w *answerBuffer) Write(b []byte) (int, error) { return w.body.Write(b) }
