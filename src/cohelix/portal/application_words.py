"""The words in which pages tell of applications: stages, events, data-use codes, purposes, and the committee's checklist."""

from __future__ import annotations

from typing import Final

from cohelix.access.applications import LineStage, Stage
from cohelix.access.duo import Advice, DataUse, Investigation

STAGE_WORDS: Final = {
    Stage.DRAFT: "is a draft",
    Stage.SIGNING: "waits for the signature",
    Stage.REVIEW: "is being decided",
    Stage.RETURNED: "was returned to be changed",
    Stage.DECIDED: "is decided",
    Stage.CLOSED: "is closed",
    Stage.WITHDRAWN: "is withdrawn",
}
LINE_WORDS: Final = {
    LineStage.OPEN: "before its committee",
    LineStage.APPROVED: "approved by the committee",
    LineStage.DENIED: "denied",
    LineStage.VETOED: "vetoed by the country",
    LineStage.APPEALED: "contested",
    LineStage.CONFIRMED: "confirmed by the country",
    LineStage.GRANTED: "granted",
    LineStage.SUSPENDED: "suspended",
    LineStage.REVOKED: "revoked",
    LineStage.EXPIRED: "expired",
}
# event → who does it, and what they did
EVENT_WORDS: Final = {
    "created": ("Applicant", "began the application"),
    "edited": ("Applicant", "changed the application"),
    "signing-asked": ("Applicant", "asked for the organisation’s signature"),
    "signed": ("Signing official", "signed: the application is handed in"),
    "signing-refused": ("Signing official", "did not sign"),
    "asked": ("Committee", "asked a question"),
    "answered": ("Applicant", "answered"),
    "returned": ("Committee", "returned the application to be changed"),
    "checked": ("Committee", "went through the checklist"),
    "voted": ("Committee", "voted"),
    "proposed": ("Committee", "proposed a decision"),
    "decided": ("Committee", "decided"),
    "delayed": ("Committee", "needs longer"),
    "confirmed": ("National coordination point", "confirmed the approval"),
    "vetoed": ("National coordination point", "vetoed"),
    "agreement-drawn": ("Data holder", "drew the agreement"),
    "agreement-signed": ("Agreement", "was signed by one side"),
    "granted": ("Authority", "issued the visas"),
    "suspended": ("Authority", "suspended the grant"),
    "revoked": ("Authority", "revoked the grant"),
    "expired": ("Clock", "the grant has come to its end"),
    "renewal-asked": ("Applicant", "asked for a renewal"),
    "appealed": ("Applicant", "contested the decision"),
    "appeal-upheld": ("Chair", "upheld the appeal: the committee decides anew"),
    "appeal-dismissed": ("Chair", "dismissed the appeal: the decision stands"),
    "withdrawn": ("Applicant", "withdrew the application"),
    "reminded": ("Clock", "sent a reminder"),
}
REMINDER_WORDS: Final = {
    "national-answer-due": "the country’s answer is due",
    "committee-overdue": "the committee’s decision is overdue",
    "grant-ends": "the grant ends in 30 days",
    "grant-ends-soon": "the grant ends in a week",
}
# What committees do among themselves: told to them, their country and auditors, not to the applicant.
INSIDE_EVENTS: Final = frozenset({"checked", "voted", "proposed"})

ADVICE_WORDS: Final = {
    Advice.APPROVE: "fits",
    Advice.REVIEW: "for people to review",
    Advice.DENY: "does not fit",
}
TYPE_WORDS: Final = {
    "externally-governed": "externally governed",
    "1mg-compliant": "1+MG compliant",
    "1mg-cohort": "1+MG cohort",
}
CODE_WORDS: Final = {
    DataUse.NRES: "no restriction",
    DataUse.HMB: "health, medical and biomedical research",
    DataUse.DS: "research on named diseases",
    DataUse.POA: "population and ancestry research only",
    DataUse.RS: "named research only",
    DataUse.NMDS: "no development of general methods",
    DataUse.GSO: "genetic studies only",
    DataUse.NPUNCU: "non-profit organisations and non-commercial use only",
    DataUse.PUB: "results have to be published",
    DataUse.COL: "collaboration with the data’s investigators",
    DataUse.IRB: "approval of an ethics committee",
    DataUse.GS: "use from named countries only",
    DataUse.MOR: "no publication before a date",
    DataUse.TS: "for a limited time",
    DataUse.US: "named persons only",
    DataUse.PS: "a named project only",
    DataUse.IS: "a named institution only",
    DataUse.RTN: "derived data have to be returned",
    DataUse.GRU: "any research",
    DataUse.CC: "care of patients, too",
    DataUse.NPOA: "no population and ancestry research",
    DataUse.NPU: "non-profit organisations only",
    DataUse.NCU: "non-commercial use only",
}
INVESTIGATION_WORDS: Final = {
    Investigation.GENETIC: "Genetic study",
    Investigation.BIOMEDICAL: "Health, medical or biomedical research",
    Investigation.DISEASE_CATEGORY: "Research on a kind of disease",
    Investigation.DRUG_DEVELOPMENT: "Development of medicines",
    Investigation.METHOD_DEVELOPMENT: "Development of methods",
    Investigation.POPULATION: "Population research",
    Investigation.ANCESTRY: "Ancestry research",
    Investigation.AGE_CATEGORY: "Research on an age group",
    Investigation.GENDER_CATEGORY: "Research on one gender",
    Investigation.RESEARCH_CONTROL: "Controls for a study",
    Investigation.CLINICAL_CARE: "Care of patients",
}
# The points of the 1+MG committee's procedure (GDI-SOP0003).
CHECKLIST: Final = {
    "sign-off": "The institution has signed",
    "plan": "The analysis plan is there and understood",
    "minimisation": "No more data are asked for than are needed",
    "algorithm": "The algorithms suit the question",
    "ethics": "The ethics approval is there",
    "funding": "The funding is named",
    "purpose": "The purpose matches the data’s use conditions",
    "peer-review": "The project was peer reviewed",
}
