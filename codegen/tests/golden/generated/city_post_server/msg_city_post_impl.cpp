// The business of city.post. `msec gen --compat` does not write this file again.

#include "msg_city_post_impl.h"

// What this returns travels to the caller beside the answer. Who calls SetFailed(code) sends no
// answer but a failure.
int CPostServiceMsg::Send(
    const ::city::post::Letter *request,
    ::city::post::Letter_Reply *response) {
    (void)request;
    (void)response;
    return 0;
}

// What this returns travels to the caller beside the answer. Who calls SetFailed(code) sends no
// answer but a failure.
int CPostServiceMsg::Weigh(const ::city::post::Stamp *request, ::city::post::Stamp *response) {
    (void)request;
    (void)response;
    return 0;
}

// What this returns travels to the caller beside the answer. Who calls SetFailed(code) sends no
// answer but a failure.
int CDepotServiceMsg::ListAllLettersThatNobodyHasCollectedYet(
    const ::city::post::Letter *request,
    ::city::post::Letter_Reply *response) {
    (void)request;
    (void)response;
    return 0;
}
